-- SPDX-License-Identifier: MIT
-- Loads the programs of a trace. The kernel may refuse one of them alone, such as one of a function that it lets nobody
-- trace. Which ones it refuses is found out, so that the trace can do without them.

local catalog = require("bpf.trace.catalog")
local program = require("bpf.program")
local failure = require("bpf.trace.failure")

local load = {}

-- Loads the programs of bodies but for those whose names are in `autoload`. Returns the object; or nil and what is
-- wrong, of which `program` is the name of the program that the kernel refuses.
local function try(compiled, autoload)
  local obj, message, code = program.load_compiled("bpf.trace", compiled, { name = "trace", autoload = autoload })
  if obj then
    return obj
  end
  return nil, { trace = message:gsub("^bpf%.trace: ", "", 1), code = code, status = 1,
    program = message:match("prog '([^']*)'") }
end

-- What the kernel refuses ---------------------------------------------------------------------------------------------

-- Why the kernel refuses a body's program, without the names that only we know.
local function reason(body, wrong)
  -- Older kernels tell the text of a line, which may be that of another body: the number is the same.
  local text = wrong.trace:gsub("^.-:([0-9]+): (object 'trace': )", "line %1: %2", 1)
    :gsub("object 'trace': load: prog '[^']*':? ", "", 1)
  if wrong.code == "EINVAL" and body.probe.kind:find("^f") and text:find("^BPF program load failed") then
    return "this kernel lets no program of this kind trace the function (EINVAL)"
  end
  return text
end

-- The bodies in the order in which libbpf loads their programs: section by section.
local function in_order(list)
  local sections, by_section, ordered = {}, {}, {}
  for _, body in ipairs(list) do
    local section = by_section[body.section] or {}
    if not section[1] then
      by_section[body.section], sections[#sections + 1] = section, section
    end
    section[#section + 1] = body
  end
  for _, section in ipairs(sections) do
    table.move(section, 1, #section, #ordered + 1, ordered)
  end
  return ordered
end

-- What is wrong with bodies whose kind of programs the kernel refuses, by body: one question tells that of many.
local function refused_kinds(list)
  local refused = {}
  for _, body in ipairs(list) do
    local found = not body.own and not body.probe.event and catalog.find(body.probe.section)
    local why = found and found[1] and catalog.refusal(found[1])
    refused[body] = why and { trace = why, code = why:match("%(([A-Z0-9]+)%)$") } or nil
  end
  return refused
end

-- Tries what is left. Returns what is wrong, or nil.
local function try_rest(compiled, list, autoload)
  for _, body in ipairs(list) do
    if autoload[body.program] == nil then
      local obj <close>, wrong = try(compiled, autoload)
      return not obj and wrong or nil
    end
  end
end

-- Finds the bodies whose programs the kernel refuses, where it did so with `wrong`. A load ends at a program that is
-- refused, so the next attempt begins behind that one. Returns what is wrong by body. Raises what isn't about one.
local function find_refused(compiled, list, wrong)
  local refused, ordered, tried, autoload = refused_kinds(list), in_order(list), 0, {}
  for body in pairs(refused) do
    autoload[body.program] = false
  end
  if next(refused) then
    wrong = try_rest(compiled, ordered, autoload)
  end
  while wrong do
    local body
    repeat
      tried = tried + 1
      body = ordered[tried] or error(wrong, 0)
      autoload[body.program] = false
    until body.program == wrong.program
    refused[body], wrong = wrong, try_rest(compiled, ordered, autoload)
  end
  return refused
end

-- Whether the verifier refuses what a body does, and not where it is: newer kernels have it tell that, too.
local function is_wrong(wrong)
  return wrong.trace:find("refused by the verifier: ", 1, true) ~= nil
    and not wrong.trace:find("verifier: Attaching ", 1, true)
end

-- Raises where a body is refused by the verifier at all the probes of its row: then the body is wrong.
local function check_rows(list, refused)
  local left = {}
  for _, body in ipairs(list) do
    left[body.row] = left[body.row] or not refused[body]
  end
  for _, body in ipairs(list) do
    local wrong = refused[body]
    if wrong and (body.own or not left[body.row] and is_wrong(wrong)) then
      failure.refused(("%s: %s"):format(body.own and "follow" or body.title, reason(body, wrong)), wrong.code)
    end
  end
end

-- Loads the bodies that the kernel doesn't refuse.
local function load_others(compiled, list, wrong, failed)
  local refused, left, autoload, some = find_refused(compiled, list, wrong), {}, {}, false
  check_rows(list, refused)
  for _, body in ipairs(list) do
    local why = refused[body]
    if why then
      autoload[body.program] = false
    else
      left[#left + 1], some = body, some or not body.own
    end
    for _, member in ipairs(why and body.members or {}) do
      failed[#failed + 1] = { probe = member.probe, message = reason(body, why), code = why.code }
    end
  end
  return some and (try(compiled, autoload) or error(wrong, 0)) or nil, left
end

-- Compiles and loads bodies, each by its row of programs. Those that the kernel refuses are left out: { probe, message,
-- code } of their probes is added to a list. Returns the object and the bodies that are left; nil if none of the user's
-- is. Raises what is wrong otherwise.
function load.some(list, rows, options, failed)
  local compiled, message, code = program.compile_programs("bpf.trace", rows, options)
  if not compiled then
    error({ trace = message:gsub("^bpf%.trace: ", "", 1), code = code }, 0)
  end
  for n, body in ipairs(list) do
    body.program = rows[n].name
  end
  local obj, wrong = try(compiled, {})
  local left = list
  if not obj then
    obj, left = load_others(compiled, list, wrong, failed)
  end
  for _, body in ipairs(obj and left or {}) do
    body.prog = obj.progs[body.program]
  end
  return obj, left
end

return load
