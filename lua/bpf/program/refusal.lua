-- SPDX-License-Identifier: MIT
-- Why the kernel refused a program, with the line of the script: from the verifier's log, and from what the program is
-- known to need of the kernel.
local core = require("bpf.core")
local source = require("bpf.program.source")

local refusal = {}

-- The line of the script that the verifier saw last: newer kernels print its number, older ones its text alone.
local function last_line(log, list)
  local text
  for line in log:gmatch("\n; ([^\n]*)") do
    text = line
  end
  if not text then
    return nil
  end
  local file, number = text:match("@ ([^@]+):(%d+)$")
  if number then
    return file, number
  end
  local found = source.of(list[1].fn or list[1].build)
  for n, line in ipairs(found.lines) do
    if line:match("^%s*(.-)%s*$") == text:match("^%s*(.-)%s*$") and text:find("%S") then
      return found.file, n
    end
  end
  return nil
end

-- The helper that the program needs and this kernel lacks.
local function lacking(of, list)
  for _, need in ipairs(of.needs) do
    local ok, there = pcall(core.features.helper, need.program_type or "socket_filter", need.helper)
    if ok and there == false then
      return need
    end
  end
  return nil, list
end

-- The message of a failed load.
function refusal.explain(fname, message, log, of, list)
  local need = lacking(of, list)
  if need then
    return ("%s: %s needs the kernel's helper %s, which this kernel doesn't have: %s"):format(fname, need.what,
      need.helper, need.cure)
  end
  local file, number = nil, nil
  if log then
    file, number = last_line(log, list)
  end
  return file and ("%s: %s:%s: %s"):format(fname, file, number, message) or message
end

return refusal
