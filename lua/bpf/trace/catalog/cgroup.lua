-- SPDX-License-Identifier: MIT
-- Hooks of cgroups.

local btf = require("bpf.trace.catalog.btf")

local cgroup = {}

-- The hooks in order: the section behind the slash, the kernel's attach type without BPF_ or BPF_CGROUP_, the context.
local HOOKS <const> = {
  cgroup = {
    { "bind4", "INET4_BIND", "bpf_sock_addr" }, { "bind6", "INET6_BIND", "bpf_sock_addr" },
    { "connect4", "INET4_CONNECT", "bpf_sock_addr" }, { "connect6", "INET6_CONNECT", "bpf_sock_addr" },
    { "connect_unix", "UNIX_CONNECT", "bpf_sock_addr" }, { "dev", "DEVICE", "bpf_cgroup_dev_ctx" },
    { "getpeername4", "INET4_GETPEERNAME", "bpf_sock_addr" }, { "getpeername6", "INET6_GETPEERNAME", "bpf_sock_addr" },
    { "getpeername_unix", "UNIX_GETPEERNAME", "bpf_sock_addr" },
    { "getsockname4", "INET4_GETSOCKNAME", "bpf_sock_addr" }, { "getsockname6", "INET6_GETSOCKNAME", "bpf_sock_addr" },
    { "getsockname_unix", "UNIX_GETSOCKNAME", "bpf_sock_addr" }, { "getsockopt", "GETSOCKOPT", "bpf_sockopt" },
    { "post_bind4", "INET4_POST_BIND", "bpf_sock" }, { "post_bind6", "INET6_POST_BIND", "bpf_sock" },
    { "recvmsg4", "UDP4_RECVMSG", "bpf_sock_addr" }, { "recvmsg6", "UDP6_RECVMSG", "bpf_sock_addr" },
    { "recvmsg_unix", "UNIX_RECVMSG", "bpf_sock_addr" }, { "sendmsg4", "UDP4_SENDMSG", "bpf_sock_addr" },
    { "sendmsg6", "UDP6_SENDMSG", "bpf_sock_addr" }, { "sendmsg_unix", "UNIX_SENDMSG", "bpf_sock_addr" },
    { "setsockopt", "SETSOCKOPT", "bpf_sockopt" }, { "sock_create", "INET_SOCK_CREATE", "bpf_sock" },
    { "sock_release", "INET_SOCK_RELEASE", "bpf_sock" }, { "sysctl", "SYSCTL", "bpf_sysctl" },
  },
  cgroup_skb = { { "egress", "INET_EGRESS", "__sk_buff" }, { "ingress", "INET_INGRESS", "__sk_buff" } },
}

function cgroup.names(kind)
  local names = {}
  for n, hook in ipairs(HOOKS[kind]) do
    names[n] = hook[1]
  end
  return names
end

local function hook_of(kind, name)
  for _, hook in ipairs(HOOKS[kind]) do
    if hook[1] == name then
      return hook
    end
  end
end

function cgroup.arguments(kind, name)
  return btf.members(hook_of(kind, name)[3], "kernel")
end

cgroup.each = true

function cgroup.refusal(kind, name)
  local description = btf.find("bpf_attach_type", "enum")
  local hook = "BPF_CGROUP_" .. hook_of(kind, name)[2]
  if description and description.values[hook] == nil then
    return ("this kernel has no %s"):format(hook)
  end
  return nil
end

return cgroup
