-- SPDX-License-Identifier: MIT
-- A firewall on a network interface, by XDP. Its list is an LPM map, a table from here: rules["10.0.0.0/8"] = { deny =
-- true } works on the very next packet. Without an interface it shows itself at work on a network of its own.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local options = common.options([[
Usage: main.lua [options] [interface]
Drops what comes in at an interface from denied IPv4 addresses, and counts. Needs root.
Without an interface, makes a network of its own, sends packets there and changes the list meanwhile.

  --seconds N   how long (4); ends on Ctrl-C, too
  --list FILE   the list: lines such as "deny 192.0.2.0/24", "allow 192.0.2.7"; the longest prefix decides. Changes of
                the file take effect within a second. "deny 198.51.100.0/24" without it
  --help        show this text
]], { seconds = 4, list = "", demo = false }, 1)

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
  for prefix, deny in pairs(wanted) do
    local rule = rules[prefix]
    if not rule or rule.deny ~= deny then
      rules[prefix] = { deny = deny }
    end
  end
end

local COLUMNS = {
  { name = "PREFIX", field = "prefix" }, { name = "ACTION", field = "deny",
    format = function(deny) return deny and "deny" or "allow" end },
  { name = "PACKETS", field = "packets" }, { name = "BYTES", field = "bytes", format = bpf.hist.bytes, align = "right" },
}
