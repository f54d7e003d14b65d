-- SPDX-License-Identifier: MIT
-- lighttpd runs this for each request: counts requests by client, and bans who sends too many. Runs as the server's own
-- user, without capabilities: pins have owners and modes as files have.
local bpf = require "bpf"
local map = bpf.map
local request = lighty.r -- luacheck: globals lighty

local LIMIT <const>, SECONDS <const> = 20, 10 -- requests in so many seconds
local BAN <const> = tonumber(os.getenv "GUARD_BAN") -- how long who sends more is kept out, in seconds

-- The maps, opened once: lighttpd keeps what is loaded. The kernel tells their types to privileged users alone, so
-- they are named.
local function open()
  local dir = os.getenv "GUARD_MAPS"
  return {
    deny = map.typed(assert(map.open(dir .. "/deny")),
      "struct { __u32 prefixlen; __u8 address[4]; }", "struct { __u64 ends; __u64 dropped; }"),
    clients = map.typed(assert(map.open(dir .. "/clients")),
      "__u8[4]", "struct { __u64 since; __u32 requests; }"),
  }
end

package.loaded.guard = package.loaded.guard or open()
local deny, clients = package.loaded.guard.deny, package.loaded.guard.clients

local address, now = request.req_attr["request.remote-addr"], os.time()
local key = string.pack("BBBB", address:match "(%d+)%.(%d+)%.(%d+)%.(%d+)")
local client = clients[key]
if not client or now - client.since >= SECONDS then
  client = { since = now, requests = 0 }
end
client.requests = client.requests + 1
clients[key] = client

for prefix, ban in pairs(deny) do
  if ban.ends <= now then
    deny[prefix] = nil
  end
end

if client.requests > LIMIT then
  deny[address .. "/32"] = { ends = now + BAN }
  clients[key] = nil
  request.resp_body.set "Too many requests\n"
  return 429
end
request.resp_body.set(("Request %d of %s\n"):format(client.requests, address))
return 200
