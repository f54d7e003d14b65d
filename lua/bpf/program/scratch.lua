-- SPDX-License-Identifier: MIT
-- Memory of a program beside its stack, for objects that don't fit BPF's 512 bytes: the only entry of a map that the
-- object declares. Each function looks the entry up where it begins, and finds its objects there.
--
-- The map is a percpu_array. Programs that another thread may interrupt on the same CPU, which then runs the program,
-- too, have a task_storage.
local ir = require("bpf.program.ir")
local types = require("bpf.program.types")

local scratch = {}

local STACK <const>, FRAME <const> = 512, 32 -- the kernel counts a function's stack in multiples of that
local LARGE <const> = 64 -- smaller objects stay on the stack
local SPILLED <const> = 64 -- what a function may need beside its objects
local ROOM <const> = 0x8000 -- of a CPU in a per-CPU map

local PERCPU_ARRAY <const>, TASK_STORAGE <const> = 6, 29
local NO_PREALLOC <const>, CREATE <const> = 1, 1
local LOOKUP <const>, GET_CURRENT_TASK_BTF <const>, TASK_STORAGE_GET <const> = 1, 158, 156

-- The scratch of a program. With `shared`, functions have what they share there. With `all`, every object that may be
-- there is.
function scratch.new(by_thread, shared, all)
  return { size = 0, by_thread = by_thread, shared = shared, all = all, map = {}, objects = {} }
end

-- Whether an object of this size may be in scratch memory.
function scratch.is_large(size)
  return size > LARGE
end

-- The map's definition for the object.
function scratch.definition(s, name)
  local size = (s.size + 7) // 8 * 8
  if s.by_thread then
    return { name = name, map = s.map, key = types.integer(4, true), value = types.chars(size),
      definition = { type = TASK_STORAGE, map_flags = NO_PREALLOC } }
  end
  return { name = name, map = s.map,
    definition = { type = PERCPU_ARRAY, max_entries = 1, key_size = 4, value_size = size } }
end

-- How much stack there is -------------------------------------------------------------------------------------------

-- Calls fn(object) for each object that an instruction refers to.
local function each_object(i, fn)
  if i.base and i.base.stack then
    fn(i.base)
  elseif i.object then
    fn(i.object)
  end
  for _, argument in ipairs(i.arguments or {}) do
    if type(argument) == "table" and argument.object then
      fn(argument.object)
    end
  end
end

-- A function with the objects that it uses, in their order, and with the functions that it calls.
local function survey(f, seen)
  local node = { f = f, objects = {}, calls = {} }
  local found = {}
  seen[f] = node
  local function call(func)
    if func then
      node.calls[#node.calls + 1] = seen[func] or survey(func, seen)
    end
  end
  for _, block in ipairs(f.blocks) do
    for _, i in ipairs(block.instructions) do
      each_object(i, function(object)
        if not found[object] then
          found[object] = true
          node.objects[#node.objects + 1] = object
        end
      end)
      call(i.func)
      for _, argument in ipairs(i.arguments or {}) do
        call(type(argument) == "table" and argument.func)
      end
    end
  end
  return node
end

-- What a function and those below it have on the stack, and the largest object there that may be elsewhere.
local function measure(node, s, spilled)
  local own, largest, below = spilled, nil, 0
  for _, object in ipairs(node.objects) do
    if not s.objects[object] then
      own = own + object.size
      if scratch.is_large(object.size) and not object.frame and object.size > (largest and largest.size or 0) then
        largest = object
      end
    end
  end
  for _, other in ipairs(node.calls) do
    local size, object = measure(other, s, spilled)
    below = math.max(below, size)
    if object and object.size > (largest and largest.size or 0) then
      largest = object
    end
  end
  return (own + FRAME - 1) // FRAME * FRAME + below, largest
end

-- Raises an error if the functions, once they are instructions, have more on the stack than there is.
function scratch.check(f)
  local function total(node)
    local below = 0
    for _, relocation in ipairs(node.relocations) do
      below = math.max(below, relocation.func and total(relocation.func) or 0)
    end
    return (math.max(node.stack, 1) + FRAME - 1) // FRAME * FRAME + below
  end
  local size = total(f)
  if size > STACK then
    error({ stack = true, program = ("%s: %d bytes of stack, BPF has %d"):format(f.name, size, STACK) }, 0)
  end
end

-- Moving objects ------------------------------------------------------------------------------------------------------

local function place(s, object, name)
  if not s.objects[object] then
    s.objects[object] = s.size
    s.size = s.size + object.size
  end
  if s.size > ROOM then
    error({ program = ("%s: %d bytes of strings and records, a program has room for %d"):format(name, s.size, ROOM) },
      0)
  end
end

local function place_shared(node, s)
  for _, object in ipairs(node.objects) do
    if object.shared then
      place(s, object, node.f.name)
    end
  end
  for _, other in ipairs(node.calls) do
    place_shared(other, s)
  end
end

-- Decides which objects are elsewhere: those that several functions share, and the largest, until the others fit.
local function choose(node, s)
  place_shared(node, s)
  while true do
    local size, largest = measure(node, s, SPILLED)
    if not largest or size <= STACK and not s.all then
      return
    end
    place(s, largest, node.f.name)
  end
end

-- Makes an instruction refer to the memory behind `memory`. `add` takes the instructions to go before it.
local function rewrite(f, s, i, memory, add)
  local function address(object, offset)
    return { op = "alu", operation = "add", a = memory, b = s.objects[object] + offset, bits = 64, line = i.line }
  end
  if i.base and s.objects[i.base] then
    i.base, i.offset = memory, s.objects[i.base] + i.offset
  elseif i.op == "address" and s.objects[i.object] then
    for field, value in pairs(address(i.object, i.offset)) do
      i[field] = value
    end
    i.object, i.offset = nil, nil
  end
  for n, argument in ipairs(i.arguments or {}) do
    if type(argument) == "table" and s.objects[argument.object] then
      local instruction = address(argument.object, argument.offset or 0)
      instruction.d = f:register()
      instruction.uses = ir.uses(instruction)
      add(instruction)
      i.arguments[n] = instruction.d
    end
  end
  i.uses = ir.uses(i)
end

-- The register with the entry's address, in new blocks before the others, behind the parameters. Where there is no
-- entry, which is never so for one of a per-CPU array, the function ends.
local function look_up(f, s)
  local first = f.blocks[1]
  local entry, none, list = f.block(), f.block(), f.blocks
  f.blocks, f.line = {}, first.instructions[1] and first.instructions[1].line or f.line
  f:start(entry)
  while first.instructions[1] and first.instructions[1].op == "parameter" do
    table.insert(entry.instructions, table.remove(first.instructions, 1))
  end
  local memory
  if s.by_thread then
    memory = f:call(TASK_STORAGE_GET, { map = s.map }, f:call(GET_CURRENT_TASK_BTF), 0, CREATE)
  else
    local key = f:object(8)
    f:store(key, 0, 4, 0)
    memory = f:call(LOOKUP, { map = s.map }, { object = key, offset = 0 })
  end
  f:branch("eq", memory, 0, none, first)
  f:start(none)
  f:exit(0)
  for _, block in ipairs(list) do
    f:start(block)
  end
  for n = 1, 2 do
    for _, i in ipairs(f.blocks[n].instructions) do
      i.uses = ir.uses(i)
    end
    f.blocks[n].terminator.uses = ir.uses(f.blocks[n].terminator)
  end
  return memory
end

local function move_objects(f, s)
  local blocks, memory = f.blocks, look_up(f, s)
  for _, block in ipairs(blocks) do
    local list = {}
    local function add(i) list[#list + 1] = i end
    for _, i in ipairs(block.instructions) do
      rewrite(f, s, i, memory, add)
      add(i)
    end
    block.instructions = list
  end
end

-- Moves objects of a program's functions, which have no registers yet, from the stack to scratch memory, if there is
-- need. Returns whether it did.
function scratch.move(f, s)
  local node, moved = survey(f, {}), {}
  if not s.all and measure(node, s, 0) <= STACK then
    return false
  end
  choose(node, s)
  local function move(n)
    for _, object in ipairs(not moved[n] and n.objects or {}) do
      if s.objects[object] and not moved[n] then
        moved[n] = true
        move_objects(n.f, s)
      end
    end
    for _, other in ipairs(n.calls) do
      move(other)
    end
  end
  move(node)
  return s.size > 0
end

return scratch
