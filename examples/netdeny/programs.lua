-- SPDX-License-Identifier: MIT
-- The programs of netdeny: they look up where a process of the cgroup wants to send, and refuse it or not.
local bpf = require "bpf"
local map, helper = bpf.map, bpf.helper

local programs = {}

--- The rules: the longest prefix that matches decides.
programs.RULES4 = {
  type = "lpm_trie", max_entries = 1000, key = "struct target4 { __u32 prefixlen; __be32 address; }",
  value = "struct rule { _Bool deny; }",
}
programs.RULES6 = {
  type = "lpm_trie", max_entries = 1000, key = "struct target6 { __u32 prefixlen; __be32 address[4]; }",
  value = "struct rule { _Bool deny; }",
}
--- Who was refused what, and how often; the address of IPv4 is the first element.
programs.REFUSED = {
  type = "lru_hash", max_entries = 4096, value = "__u64",
  key = "struct attempt { __u32 version; __u32 port; __be32 address[4]; char comm[16]; }",
}

--- Loads the programs, for maps of the kinds above: for connections, and for datagrams without one. What they return: 0
-- is the error EPERM.
function programs.load(rules4, rules6, refused)
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

  return bpf.programs {
    connect4 = { "cgroup/connect4", check4 }, connect6 = { "cgroup/connect6", check6 },
    sendmsg4 = { "cgroup/sendmsg4", check4 }, sendmsg6 = { "cgroup/sendmsg6", check6 },
  }
end

return programs
