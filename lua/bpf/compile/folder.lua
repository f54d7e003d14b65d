-- SPDX-License-Identifier: MIT
-- The folder in which bpf.compile keeps what it made: $XDG_CACHE_HOME/lua-bpf, or ~/.cache/lua-bpf. It is used only
-- where nobody else can write, because root loads what lies there. It holds files "object-…" and folders "vmlinux-…".

local posix = require("bpf.base.posix")

local folder = {}

local ROOM <const> = 256 << 20

-- The folder's path, resolved, or nil. It is made if it isn't there; the user's home and $XDG_CACHE_HOME are not.
function folder.path()
  local base = os.getenv("XDG_CACHE_HOME") or ""
  if base:sub(1, 1) == "/" then -- the specification wants others ignored
    return posix.private_folder(base, "lua-bpf")
  end
  base = os.getenv("HOME") or ""
  return base:sub(1, 1) == "/" and posix.private_folder(base, ".cache", "lua-bpf") or nil
end

-- What may be removed: its files, their size, and when it was last used.
local function item(path, name)
  local kind, _, size, used = posix.file_status(path .. "/" .. name)
  if kind == "file" and name:find("^object%-") then
    return { files = { path .. "/" .. name }, size = size, used = used }
  elseif kind == "directory" and name:find("^vmlinux%-") then
    local header = ("%s/%s/vmlinux.h"):format(path, name)
    local found, _, bytes = posix.file_status(header)
    return { files = { header, path .. "/" .. name }, size = found and bytes or 0, used = used }
  end
  return nil
end

-- Removes what was used least recently, until the rest takes no more than the room.
function folder.tidy(path, room)
  local items, sum = {}, 0
  for _, name in ipairs(posix.entries(path) or {}) do
    local it = item(path, name)
    if it then
      items[#items + 1] = it
      sum = sum + it.size
    end
  end
  table.sort(items, function(a, b) return a.used < b.used end)
  for _, it in ipairs(items) do
    if sum <= (room or ROOM) then
      break
    end
    for _, file in ipairs(it.files) do
      os.remove(file)
    end
    sum = sum - it.size
  end
end

return folder
