-- SPDX-License-Identifier: MIT
-- What a name may stand for in a table that programs index, `_ENV` above all, beside a constant: a value that is
-- computed where it is read, and a variable that is read and assigned without a struct's name before it.
local globals = {}

local Computed = { __name = "computed", __metatable = false }
local Member = { __name = "member", __metatable = false }

local last = -1000 -- of the places in a state, below those of upvalues

-- A value that read(compiler) gives where the name stands. `call(compiler, arguments)`, if it is given, is what a call
-- of the name means. `steady` says that the value stays the same while the program runs, which keeps it where it can.
function globals.computed(read, call, steady)
  if steady then
    last = last - 1
  end
  return setmetatable({ read = read, call = call, place = steady and last or nil }, Computed)
end

-- A member of a bpf.var. `pointer`, if it is given, is what the number there leads to: { type = "struct x", space = }.
function globals.member(var, name, pointer)
  return setmetatable({ var = var, name = name, pointer = pointer }, Member)
end

-- What a name stands for that is the script's only: assigning to it does nothing in a program.
globals.NAMED = setmetatable({}, { __name = "named", __metatable = false })

local of_process = setmetatable({}, { __mode = "k" })

-- Says that the pointers in a map lead to memory of the process.
function globals.lead_to_process(map)
  of_process[map] = true
end

-- The space to which the pointers in a map lead.
function globals.space_of(map)
  return of_process[map] and "user" or "kernel"
end

function globals.is_computed(value)
  return type(value) == "table" and debug.getmetatable(value) == Computed
end

function globals.is_member(value)
  return type(value) == "table" and debug.getmetatable(value) == Member
end

return globals
