-- SPDX-License-Identifier: MIT
-- Cgroups of one's own: `local group <close> = cgroup.new()`. They lie in the machine's cgroup2 hierarchy, or in one
-- mounted for the purpose, and are removed when closed.
local helper = require("spec.helper")
local lfs = require("lfs")
local sys = require("support.sys")

local cgroup = {}

local Cgroup = {}
Cgroup.__index = Cgroup

local made = 0
local root

local function must(command)
  local output, ok = helper.run(command)
  assert(ok, output)
  return output
end

-- Where cgroup2 is mounted. The specs have mounts of their own, so that one more is gone when they end.
local function hierarchy()
  for line in io.lines("/proc/mounts") do
    local path = line:match("^%S+ (%S+) cgroup2 ")
    if path then
      return path
    end
  end
  local path = must("mktemp -d"):gsub("\n", "")
  must("mount -t cgroup2 none " .. path)
  return path
end

--- The top of the hierarchy.
function cgroup.root()
  root = root or hierarchy()
  return root
end

--- A new cgroup, below another if given. Its field `path` names it, its field `id` is its number.
function cgroup.new(parent)
  made = made + 1
  local path = ("%s/lbpf-%s-%d"):format(parent and parent.path or cgroup.root(), helper.tag, made)
  assert(lfs.mkdir(path))
  return setmetatable({ path = path, id = sys.inode(path) }, Cgroup)
end

--- The shell command that runs another one as a member.
function Cgroup:command(command)
  return ("sh -c 'echo $$ >%s/cgroup.procs && exec \"$@\"' sh %s"):format(self.path, command)
end

--- Runs a command, or several given as one string for the shell, as a member. Returns what it printed.
function Cgroup:run(command)
  return must(self:command("sh -c " .. helper.quote(command)))
end

--- Makes this process a member.
function Cgroup:enter()
  local file <close> = assert(io.open(self.path .. "/cgroup.procs", "w"))
  assert(file:write(helper.pid))
end

--- Back to the top.
function Cgroup:leave() -- luacheck: ignore self
  local file <close> = assert(io.open(cgroup.root() .. "/cgroup.procs", "w"))
  assert(file:write(helper.pid))
end

--- Removes it. What its processes left behind may keep it for a moment.
function Cgroup:remove()
  if self.path then
    assert(helper.eventually(function() return lfs.rmdir(self.path) end), self.path)
    self.path = nil
  end
end

Cgroup.__close = Cgroup.remove

return cgroup
