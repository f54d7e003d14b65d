-- SPDX-License-Identifier: MIT
-- A firewall on a network interface, by XDP. Its list is an LPM map, a table from here: rules["10.0.0.0/8"] = { deny =
-- true } works on the very next packet. Without an interface it shows itself at work on a network of its own.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Drops packets that an interface receives from denied IPv4 addresses, and counts packets. Needs root.
Without an interface, creates its own network, changes the list several times, and shows which addresses get through.]])
parser:argument("interface"):args "?"
parser:option("--seconds", "run for N seconds or until Ctrl-C; without an interface, wait a quarter of N for each " ..
  "answer", "4"):argname("N"):convert(common.seconds)
parser:option("--list", 'the list: lines such as "deny 192.0.2.0/24", "allow 192.0.2.7". The longest matching ' ..
  "prefix decides; an address without one gets through. Changes to the file take effect within a second")
  :argname "FILE":init ""
local options = parser:parse()

-- The file's rules: { ["192.0.2.0/24"] = true for deny, … }.
local function read_list(path)
  local wanted, file <close> = {}, common.try(io.open(path))
  for line in file:lines() do
    local verb, prefix = line:match "^%s*(%l+)%s+([%d./]+)%s*$"
    if verb == "deny" or verb == "allow" then
      wanted[prefix:find "/" and prefix or prefix .. "/32"] = verb == "deny"
    elseif not line:find "^%s*#" and line:find "%S" then
      error(("%s: not understood: %s"):format(path, line), 0)
    end
  end
  return wanted
end

-- Makes the map's rules those that are wanted. A rule that stays keeps its counts.
local function apply(rules, wanted)
  for prefix in bpf.map.keys(rules) do
    if wanted[prefix] == nil then
      rules[prefix] = nil
    end
  end
  for prefix, deny in pairs(wanted) do
    local rule = rules[prefix]
    if not rule or rule.deny ~= deny then
      rules[prefix] = { deny = deny }
    end
  end
end

local COLUMNS = {
  { name = "PREFIX", field = "prefix" },
  { name = "ACTION", field = "deny", format = function(deny) return deny and "deny" or "allow" end },
  { name = "PACKETS", field = "packets" },
  { name = "BYTES", field = "bytes", format = bpf.hist.bytes, align = "right" },
}

local function report(rules)
  local rows = {}
  for prefix, rule in pairs(rules) do
    rule.prefix = prefix
    rows[#rows + 1] = rule
  end
  table.sort(rows, function(a, b) return a.prefix < b.prefix end)
  print(bpf.hist.table(rows, COLUMNS, { width = common.width() }))
end

-- Follows the file until the time is over.
local function watch(rules, path, seconds)
  local finish = common.now() + seconds
  repeat
    apply(rules, read_list(path))
  until not common.sleep(math.min(finish - common.now(), 0.5)) or common.now() >= finish
end

-- What happens to a packet from the address in the namespace. No port 9 is open here: the answer to who gets
-- through is an immediate refusal, to others there is none.
local function knock(net, i)
  local output = common.run(net:command(("timeout %g bash -c ': </dev/tcp/198.18.%d.1/9' 2>&1; true"):format(
    options.seconds / 4, i)))
  return output:find "refused" and "passes" or "dropped"
end

-- What the demo does to the list, as Lua.
local STEPS = {
  [[-- no rule]],
  [[rules["198.18.0.0/15"] = { deny = true }]],
  [[rules["198.18.2.2/32"] = { deny = false }]],
  [[rules["198.18.1.0/24"] = { deny = false }]],
}

local function show(rules, net)
  print(("%-44s%-13s%s"):format("", "198.18.1.2", "198.18.2.2"))
  for _, step in ipairs(STEPS) do
    load(step, step, "t", { rules = rules })()
    print(("%-44s%-13s%s"):format(step, knock(net, 1), knock(net, 2)))
  end
end

common.main(function()
  local obj <close> = common.load()
  local firewall, rules = obj.progs.firewall, obj.maps.rules
  if options.interface then
    common.try(options.list ~= "", "an interface needs a list: --list FILE")
    apply(rules, read_list(options.list))
    common.try(firewall:attach_xdp(options.interface))
    print(("Watching %s for %g s; Ctrl-C ends it"):format(options.interface, options.seconds))
    watch(rules, options.list, options.seconds)
  else
    local net <close> = common.network(2)
    local link <close> = common.try(firewall:attach_xdp(net.interface)) -- luacheck: ignore (detaches before)
    common.interruptible(function() show(rules, net) end)
  end
  print()
  report(rules)
end)
