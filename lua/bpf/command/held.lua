-- SPDX-License-Identifier: MIT
-- What the system tells of maps, programs and links: who has them open, and the memory they take.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local posix = require("bpf.base.posix")

local map = bpf.map
local held = {}

-- The first line of a file; or nil and why there is none.
local function first_line(path)
  local file <close>, message = io.open(path)
  if not file then
    return nil, message
  end
  return file:read()
end

-- Whose the maps, programs and links are: kind → id → sequence of { pid =, name = }.
function held.owners()
  local list = { map = {}, prog = {}, link = {} }
  local own = ("%d"):format(posix.pid())
  local seen = {}
  local pipe <close> = io.popen("grep -rsE '^(map|prog|link)_id:' /proc/[0-9]*/fdinfo 2>/dev/null")
  for line in pipe and pipe:lines() or function() end do
    local pid, kind, id = line:match("^/proc/(%d+)/.-:(%a+)_id:%s*(%d+)$")
    if pid and pid ~= own and not seen[pid .. kind .. id] then
      seen[pid .. kind .. id] = true
      id = math.tointeger(tonumber(id))
      list[kind][id] = list[kind][id] or {}
      local name = first_line("/proc/" .. pid .. "/comm")
      table.insert(list[kind][id], { pid = math.tointeger(tonumber(pid)), name = name })
    end
  end
  return list
end

function held.processes_text(list)
  local texts = {}
  for i, process in ipairs(list or {}) do
    texts[i] = ("%s (%d)"):format(process.name or "?", process.pid)
  end
  return table.concat(texts, ", ")
end

-- What /proc tells of a descriptor: the memory that the kernel counts for its object, and whether a map is frozen.
local function told_of_fd(fd)
  local file <close> = io.open("/proc/self/fdinfo/" .. fd)
  local text = file and file:read("a") or ""
  return math.tointeger(tonumber(text:match("memlock:%s*(%d+)"))), text:match("frozen:%s*(%d)") == "1"
end

function held.map_memory(id)
  local m <close> = map.by_id(id, "rdonly")
  if m then
    return told_of_fd(map.fd(m))
  end
end

function held.prog_memory(id)
  local prog <close> = bpf.prog.by_id(id)
  return prog and (told_of_fd(prog:fd())) or nil
end

function held.uptime()
  return tonumber(frame.need(first_line("/proc/uptime")):match("^%S+"))
end

return held
