-- SPDX-License-Identifier: MIT
-- What a guest of build-aux/vmtest does once it is up: it asks the host for one spec file after the other, and runs
-- each in a process of its own, a copy of this one, which has loaded busted already. Standard input and output are the
-- second serial line. It says "== ready" and reads the name of a spec, "command", or an empty line, which is the end.
-- It answers
--   == begin <name>, the TAP or the command's output, == end <name> <exit status> <seconds>
-- A name "libs:<spec>" is run with the libraries of Debian sid, in the root that `make sidtest` made.
package.cpath = package.cpath .. ";build/?.so"
local child = require "support.child"
local lfs = require "lfs"

local TREE, OUT, SID, SECONDS = table.unpack(arg, 1, 4)
local BPFFS = "/sys/fs/bpf"

-- busted loads these only when it runs.
for _, name in ipairs { "busted", "busted.core", "busted.options", "busted.execute", "busted.block", "busted.luajit",
  "busted.modules.cli", "busted.modules.filter_loader", "busted.modules.helper_loader", "busted.modules.luacov",
  "busted.modules.output_handler_loader", "busted.modules.test_file_loader", "busted.outputHandlers.TAP",
  "busted.modules.files.lua", "luassert", "cliargs" } do
  pcall(require, name) -- other versions of busted have other modules
end

local function say(...)
  io.stdout:write(...)
  io.stdout:flush()
end

local function uptime()
  local file <close> = io.open "/proc/uptime"
  return file:read "n"
end

-- The exit status of a shell command.
local function shell(command)
  local _, how, code = os.execute(command)
  return how == "signal" and 128 + code or code
end

local function run_spec(spec)
  rawset(_G, "arg", { [0] = "busted", "-o", "TAP", spec })
  dofile(os.getenv "LBPF_BUSTED")
  return 0
end

-- Where what is newer than this Debian is, with the guest's own file systems.
local function run_with_libraries(spec)
  return shell(([[
    set -e
    mountpoint -q /mnt || {
      mount --bind '%s/root' /mnt; mount --bind '%s/lua-5.4' /mnt/lua-5.4
      for dir in proc sys dev run tmp; do mount --rbind "/$dir" "/mnt/$dir"; done
    }
    exec chroot /mnt sh -c 'cd /lua-5.4
      LUA_PATH="$PWD/lua/?.lua;$PWD/lua/?/init.lua;;" LUA_CPATH="$PWD/build/release/?.so;;" \
        exec lua5.4 "$(command -v busted)" -o TAP "$1"' sh '%s']]):format(SID, TREE .. "/build/sid", spec))
end

local function run(name)
  if name == "command" then
    return shell("exec build-aux/sandbox sh " .. OUT .. "/command 2>&1")
  end
  local spec = name:match "^libs:(.*)"
  if spec then
    return run_with_libraries(spec)
  end
  return run_spec(name)
end

local function pins()
  local list = {}
  for name in lfs.dir(BPFFS) do
    list[name] = true
  end
  return list
end

-- A spec that failed may have left pins, on which the next one must not stumble.
local ours = pins()
local function remove_pins()
  for name in pairs(pins()) do
    if not ours[name] then
      os.execute(("rm -rf '%s/%s'"):format(BPFFS, name))
    end
  end
end

while true do
  say "== ready\n"
  local name = io.read "l"
  if not name or name == "" then
    break
  end
  say("== begin ", name, "\n")
  local began, pid = uptime(), child.fork()
  if pid == 0 then
    os.exit(run(name), true)
  end
  local status = child.wait(pid, math.tointeger(SECONDS))
  say(("\n== end %s %d %.1f\n"):format(name, status, uptime() - began))
  remove_pins()
end
