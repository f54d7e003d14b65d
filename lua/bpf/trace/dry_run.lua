-- SPDX-License-Identifier: MIT
-- `--dry-run`: the instructions of all programs, with the lines of Lua that they are made of. Nothing is loaded.
local disassemble = require("bpf.program.disassemble")
local program = require("bpf.program")

local dry_run = {}

-- The names of what the instructions of a unit refer to.
local function namer(unit)
  return function(relocation)
    if relocation.map then
      return "map " .. unit:name_of_map(relocation.map)
    elseif relocation.variable then
      return "&" .. relocation.variable.name
    end
    return relocation.func.name
  end
end

-- Writes a function: a line of Lua in front of what is made of it.
local function write_function(out, f, unit, text)
  local last
  for _, i in ipairs(disassemble(f, namer(unit))) do
    if i.line and i.line ~= last then
      local _, _, number = unit:place(i.line)
      out:write(number > 0 and ("  ; %d: %s\n"):format(number, text(number)) or "  ; before and behind the body\n")
      last = i.line
    end
    out:write(("%6d  %s\n"):format(i.at, i.text))
  end
end

-- The lines of a text by their numbers.
local function reader(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return function(number) return lines[number] or "" end
end

-- Compiles the rows of programs that bpf.program takes, and writes what comes of them. `bodies` has a title and a text
-- for each. Raises what the compiler raises.
function dry_run.write(out, bodies, rows, options)
  local programs, functions, unit = program.compile_all(rows, options)
  local own = {}
  for n, row in ipairs(programs) do
    local f = row.func
    own[f] = true
    out:write(("%s%s: %d instructions\n"):format(n > 1 and "\n" or "", bodies[n].title, #f.code // 8))
    write_function(out, f, unit, reader(bodies[n].text))
  end
  for _, f in ipairs(functions) do
    if not own[f] then
      out:write(("\nfunction %s: %d instructions\n"):format(f.name, #f.code // 8))
      write_function(out, f, unit, function(number) return ("line %d"):format(number) end)
    end
  end
end

return dry_run
