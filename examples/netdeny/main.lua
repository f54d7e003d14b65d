-- SPDX-License-Identifier: MIT
-- A policy for the connections of a command, by programs on its cgroup, in Lua alone. The rules are two LPM maps, for
-- IPv4 and IPv6: rules["10.0.0.0/8"] = { deny = true } works on the very next connection. Without a command it shows
-- itself at work on a network of its own.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local map, helper = bpf.map, bpf.helper

local parser = common.parser([[
Runs a command that may not connect to certain addresses, and shows what was refused. Needs root.
Without a command, creates its own network, changes the rules several times, and shows what each allows.]])
parser:argument("command", "what to run, after --"):args "*"
parser:option("--deny", "addresses, or prefixes such as 192.0.2.0/24 and 2001:db8::/32, separated by commas")
  :argname "LIST":init ""
parser:option("--allow", "exceptions. The longest matching prefix decides; an address without one is allowed")
  :argname "LIST":init ""
parser:option("--seconds", "end the command after N seconds; Ctrl-C or SIGTERM ends it, too", "60")
  :argname("N"):convert(common.seconds)
local options = parser:parse()

local RULES4 = {
  type = "lpm_trie", max_entries = 1000, key = "struct target4 { __u32 prefixlen; __be32 address; }",
  value = "struct rule { _Bool deny; }",
}
local RULES6 = {
  type = "lpm_trie", max_entries = 1000, key = "struct target6 { __u32 prefixlen; __be32 address[4]; }",
  value = "struct rule { _Bool deny; }",
}
-- Who was refused what, and how often; the address of IPv4 is the first element.
local REFUSED = {
  type = "lru_hash", max_entries = 4096, value = "__u64",
  key = "struct attempt { __u32 version; __u32 port; __be32 address[4]; char comm[16]; }",
}

-- The programs, for connections and for datagrams without one. What they return: 0 is the error EPERM.
local function compile(rules4, rules6, refused)
  local function refuse(attempt)
    map.add(refused, attempt)
    return false
  end

  local function check4(ctx)
    local rule = rules4[{ prefixlen = 32, address = ctx.user_ip4 }]
    return not (rule and rule.deny) or refuse {
      version = 4, port = bpf.ntohs(ctx.user_port), address = { ctx.user_ip4 }, comm = helper.get_current_comm(),
    }
  end

  local function check6(ctx)
    local rule = rules6[{ prefixlen = 128, address = ctx.user_ip6 }]
    return not (rule and rule.deny) or refuse {
      version = 6, port = bpf.ntohs(ctx.user_port), address = ctx.user_ip6, comm = helper.get_current_comm(),
    }
  end

  return common.try(bpf.programs {
    connect4 = { "cgroup/connect4", check4 }, connect6 = { "cgroup/connect6", check6 },
    sendmsg4 = { "cgroup/sendmsg4", check4 }, sendmsg6 = { "cgroup/sendmsg6", check6 },
  })
end

-- What the demo does to the rules, as Lua.
local STEPS = {
  [[-- no rule]],
  [[rules["198.18.0.0/15"] = { deny = true }]],
  [[rules["198.18.2.2/32"] = { deny = false }]],
  [[rules["198.18.0.0/15"] = nil]],
}

-- What happens to a connection to an address in the namespace, where no port 9 is open: the answer is an immediate
-- refusal, unless the connection is denied before.
local function try(group, i)
  local output = common.run(group:command(("{ : </dev/tcp/198.18.%d.2/9; } 2>&1; true"):format(i)))
  return output:find "refused" and "allowed" or output:find "not permitted" and "denied" or output
end

local function demo(rules, group)
  local net <close> = common.network(2) -- luacheck: ignore (is there meanwhile)
  print(("%-44s%-13s%s"):format("", "198.18.1.2", "198.18.2.2"))
  for _, step in ipairs(STEPS) do
    load(step, step, "t", { rules = rules })()
    print(("%-44s%-13s%s"):format(step, try(group, 1), try(group, 2)))
  end
end

-- Adds the rules of a list. A prefix without a length is an address.
local function add(rules4, rules6, list, deny)
  for prefix in list:gmatch "[^,]+" do
    local rules, bits = rules4, 32
    if prefix:find ":" then
      rules, bits = rules6, 128
    end
    rules[prefix:find "/" and prefix or prefix .. "/" .. bits] = { deny = deny }
  end
end

local function report(refused)
  local rows = {}
  for attempt, times in pairs(refused) do
    local n = attempt.version == 4 and 1 or 4
    attempt.address = common.address(("=I4"):rep(n):pack(table.unpack(attempt.address, 1, n)))
    attempt.times = times
    rows[#rows + 1] = attempt
  end
  if #rows == 0 then
    return print "Nothing was refused"
  end
  table.sort(rows, function(a, b) return a.times > b.times or a.times == b.times and a.address < b.address end)
  print(bpf.hist.table(rows, {
    { name = "COMMAND", field = "comm" }, { name = "ADDRESS", field = "address" },
    { name = "PORT", field = "port", align = "right" }, { name = "REFUSED", field = "times" },
  }, { width = common.width() }))
end

common.main(function()
  local rules4 <close> = common.try(map.create(RULES4))
  local rules6 <close> = common.try(map.create(RULES6))
  local refused <close> = common.try(map.create(REFUSED))
  add(rules4, rules6, options.deny, true)
  add(rules4, rules6, options.allow, false)
  local obj <close> = compile(rules4, rules6, refused)
  local group <close> = common.cgroup()
  for _, prog in pairs(obj.progs) do
    common.try(prog:attach_cgroup(group.path))
  end
  if options.command[1] then
    group:run(options.command, options.seconds)
  else
    common.interruptible(function() demo(rules4, group) end)
    print()
  end
  report(refused)
end)
