-- SPDX-License-Identifier: MIT
-- A security policy, by an LSM program: who runs into rules[path] may not read, write or execute that file, or list a
-- directory, change its entries, go through it to what is below. The map takes paths as keys; rules hang on the inodes
-- behind them. Without a path it shows itself at work.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local common = require "common"

local parser = common.parser([[
Forbids everybody, while it runs, to do certain things with a file or directory. Needs root, Linux 5.10, and bpf in the
kernel's list of LSMs (/sys/kernel/security/lsm).
Without a path, makes a directory, changes the directory's rule several times, and shows what each rule allows.]])
parser:argument("path", "a file or directory; without one, the example shows itself"):args "?"
parser:flag("--read", "forbid reading a file, listing a directory", false)
parser:flag("--write", "forbid writing a file, adding and removing entries of a directory", false)
parser:flag("--execute", "forbid executing a program, using anything below a directory", false)
parser:option("--seconds", "run for N seconds or until Ctrl-C", "4"):argname("N"):convert(common.seconds)
local options = parser:parse()

-- What the demo does to the rules, as Lua.
local STEPS = {
  [[-- no rule]],
  [[rules[dir] = { execute = true }]],
  [[rules[dir] = { write = true }]],
  [[rules[dir] = { read = true }]],
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
  common.run(("cd %s; mkdir below; cp /bin/true below/program; touch 1 2 3 4 5"):format(dir))
  local columns = "%-34s%-10s%-10s%-10s%s"
  print(columns:format("", "list", "open", "remove", "execute"))
  for i, step in ipairs(STEPS) do
    load(step, step, "t", { rules = rules, dir = dir })()
    local file = ("%s/%d"):format(dir, i)
    print(columns:format(step, try("ls " .. dir), try("cat " .. file), try("rm " .. file),
      try(dir .. "/below/program")))
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
  local rules, path = obj.maps.rules, options.path
  if not path then
    return demo(rules)
  end
  rules[path] = { read = options.read, write = options.write, execute = options.execute }
  print(("Guarding %s for %g s; Ctrl-C ends it"):format(path, options.seconds))
  common.sleep(options.seconds)
  print(("Refused %d times"):format(rules[path].refused))
end)
