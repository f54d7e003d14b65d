-- SPDX-License-Identifier: MIT
-- A security policy, by LSM programs: what is forbidden below a directory. The rules hang on directories, in a map that
-- takes their paths as keys: rules["/srv/data"] = { … } works at once. Without a directory it shows itself at work.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local common = require "common"

local options = common.options([[
Usage: main.lua [options] [directory]
Forbids what is done to files below a directory, to everybody, as long as it runs. Needs root, Linux 5.10 and bpf among
the kernel's LSMs (/sys/kernel/security/lsm).
Without a directory, makes one, changes the rule and shows what can be done meanwhile.

  --open       forbids to open files
  --remove     forbids to remove files
  --execute    forbids to execute programs
  --seconds N  how long (4); ends on Ctrl-C, too
  --help       show this text
]], { open = false, remove = false, execute = false, seconds = 4 }, 1)

-- What the demo does to the rules, as Lua. An entry's { false, true, false } are opening, removing, executing.
local STEPS = {
  [[-- no rule]],
  [[rules[dir] = { forbidden = { true, false, false } }]],
  [[rules[dir] = { forbidden = { false, true, true } }]],
  [[rules[dir] = nil]],
}

-- Whether the shell command succeeds, in words.
local function try(command)
  return os.execute(("{ %s; } >/dev/null 2>&1"):format(command)) and "done" or "refused"
end

local function demo(rules)
  local dir = common.run("mktemp -d"):gsub("%s+$", "")
  local made <close> = setmetatable({}, { __close = function() -- luacheck: ignore
    rules[dir] = nil
    os.execute("rm -r " .. dir)
  end })
  common.run(("cd %s; mkdir below; cp /bin/true below/program; touch below/1 below/2 below/3 below/4"):format(dir))
  print(("%-54s%-10s%-10s%s"):format("", "open", "remove", "execute"))
  for i, step in ipairs(STEPS) do
    load(step, step, "t", { rules = rules, dir = dir })()
    local file = ("%s/below/%d"):format(dir, i)
    print(("%-54s%-10s%-10s%s"):format(step, try("cat " .. file), try("rm " .. file), try(dir .. "/below/program")))
  end
end

-- Says so when the kernel wouldn't ask the programs. Where it doesn't tell, the load or what is refused will.
local function need_lsm()
  common.need("rules that hang on inodes", "5.10")
  local file <close> = io.open "/sys/kernel/security/lsm"
  common.try(not file or file:read "a":find("bpf", 1, true),
    "bpf isn't among this kernel's LSMs: boot it with lsm=…,bpf")
end

common.main(function()
  need_lsm()
  local obj <close> = common.load()
  common.try(obj:attach())
  local rules, dir = obj.maps.rules, options[1]
  if not dir then
    return demo(rules)
  end
  rules[dir] = { forbidden = { options.open, options.remove, options.execute } }
  print(("Guarding %s for %g s; Ctrl-C ends it"):format(dir, options.seconds))
  common.sleep(options.seconds)
  print(("Refused: to open %d times, to remove %d, to execute %d"):format(table.unpack(rules[dir].refused)))
end)
