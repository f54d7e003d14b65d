-- SPDX-License-Identifier: MIT
-- Why the kernel refused a program, with the line of the script: from the verifier's log, and from what the program is
-- known to need of the kernel.
local core = require("bpf.core")

local refusal = {}

-- The line of the script that the verifier saw last: newer kernels print its number, older ones its text alone.
local function last_line(log, of)
  local text
  for line in log:gmatch("\n; ([^\n]*)") do
    text = line
  end
  if not text then
    return nil
  end
  local file, number = text:match("@ ([^@]+):(%d+)$")
  if number then
    return of:name_of_file(file), number
  end
  for _, chunk in ipairs(of.chunks) do
    local found = of:text_of(chunk)
    for n, line in ipairs(found.lines) do
      if line:match("^%s*(.-)%s*$") == text:match("^%s*(.-)%s*$") and text:find("%S") then
        return of:name_of_file(found.file:match("[^/]*$")), n
      end
    end
  end
  return nil
end

-- The helper that the program needs and this kernel lacks.
local function lacking(of)
  for _, need in ipairs(of.needs) do
    local ok, there = pcall(core.features.helper, "socket_filter", need.helper)
    if ok and there == false then
      return need
    end
  end
  return nil
end

-- Types of maps that programs which may sleep can use, by the version of Linux that lets them.
local SINCE = {}
for version, names in pairs {
  [510] = "array hash lru_hash", [511] = "ringbuf",
  [513] = "percpu_array percpu_hash lru_percpu_hash array_of_maps hash_of_maps",
  [601] = "task_storage sk_storage inode_storage cgrp_storage user_ringbuf", [602] = "queue stack",
} do
  for name in names:gmatch("%S+") do
    SINCE[name] = version
  end
end

-- The map that a program which may sleep can't use, as far as the verifier tells: of several, that of the type which
-- most kernels refuse.
local function of_sleeper(log, of)
  local worst
  if log and log:find("Sleepable programs can only use", 1, true) then
    for _, use in ipairs(of.sleepers) do
      if not worst or (SINCE[use.type] or math.huge) > (SINCE[worst.type] or math.huge) then
        worst = use
      end
    end
  end
  return worst
end

-- The message of a failed load.
function refusal.explain(fname, message, log, of)
  local need = lacking(of)
  if need then
    return ("%s: %s needs the kernel's helper bpf_%s, which this kernel doesn't have: %s"):format(fname, need.what,
      need.helper, need.cure)
  end
  local use = of_sleeper(log, of)
  if use then
    return ("%s: %s: this kernel refuses maps of type %s in programs that may sleep: %s"):format(fname, use.place,
      use.type, message)
  end
  if message:find("invalid bpf_context access", 1, true) then
    message = message .. "; this kernel lacks that member of the context, or programs of this kind may not use it so"
  end
  local file, number = nil, nil
  if log then
    file, number = last_line(log, of)
  end
  return file and ("%s: %s:%s: %s"):format(fname, file, number, message) or message
end

return refusal
