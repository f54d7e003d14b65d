-- SPDX-License-Identifier: MIT
-- Taking over what a killed process has left on an interface, by the program's name, with packets that come meanwhile.
local bpf = require("bpf")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local net = require("spec.support.net")

local fails = helper.fails

kernel.root()

local PORT = 7020 -- as in the programs

local here, there
local objects = {}

local function cable()
  here, there = net.space(), net.space()
  net.cable({ space = here, name = "near", address = "10.20.0.1/24", mac = "02:00:00:00:20:01" },
    { space = there, name = "far", address = "10.20.0.2/24", mac = "02:00:00:00:20:02" })
  net.neighbour(there, "far", "10.20.0.1", "02:00:00:00:20:01")
  net.enter(here)
end

before_each(cable)

after_each(function()
  for i, obj in ipairs(objects) do
    obj:close()
    objects[i] = nil
  end
  net.remove()
end)

local function load(...)
  local obj = assert(attach.load("attach_net", { ... }))
  objects[#objects + 1] = obj
  return obj.progs, obj
end

-- Code of another process: loads the program `name`, as `prog`.
local function loading(name)
  return ([[
    local obj = assert(require("bpf").open(%q))
    for name, prog in pairs(obj.progs) do prog:autoload(name == %q) end
    assert(obj:load())
    local prog = obj.progs[%q]
  ]]):format(helper.obj("attach_net"), name, name)
end

-- Runs a process that attaches a program, as the code says, and is killed.
local function killed(name, code)
  local output, ok = helper.lua(loading(name) .. ([[
    assert(%s)
    print("attached")
    io.stdout:flush()
    os.execute("kill -KILL $PPID")
  ]]):format(code))
  assert.is_falsy(ok)
  assert.matches("attached", output)
end

-- Sends packets from the other end until it is closed.
local function flood()
  local code = ([[
    local s = require("socket").udp4()
    while true do s:sendto("packet", "10.20.0.1", %d) end
  ]]):format(PORT)
  local pipe = assert(io.popen(("echo $$; exec ip netns exec %s %s -e %s"):format(there, helper.LUA,
    helper.quote(code))))
  local pid = pipe:read("n")
  return setmetatable({}, { __close = function()
    os.execute("kill -KILL " .. pid)
    pipe:close()
  end })
end

-- Takes over so many times while packets come. None must arrive; each program must have met some.
local function take_over(program, method, options, times)
  local receiver <close> = setmetatable({ socket = net.udp(here, 0, "10.20.0.1", PORT) }, {
    __close = function(self) self.socket:close() end })
  receiver.socket:settimeout(0)
  local packets <close> = flood() -- luacheck: ignore (sends until the end)
  for _ = 1, times do
    local progs, obj = load(program)
    local link = assert(progs[program][method](progs[program], "near", options))
    helper.await(10 * helper.slow, "a packet", function() return obj.vars.dropped > 0 or nil end)
    link:disconnect() -- as if killed
  end
  assert.is_nil(receiver.socket:receive())
end

local function filters(point)
  local text = net.must("tc filter show dev near " .. (point or "ingress"))
  return select(2, text:gsub("handle 0x", "")), text
end

local function shown()
  return net.must("ip -d link show dev near")
end

describe("attach_tc with the program's name to replace", function()
  local OURS = { replace = "shoot" }

  it("takes over what a killed process has left, and no packet passes meanwhile", function()
    killed("shoot", 'prog:attach_tc("near")')
    assert.equal(1, (filters()))
    take_over("shoot", "attach_tc", OURS, 10)
    assert.equal(1, (filters()))
    local progs = load("shoot")
    local link = assert(progs.shoot:attach_tc("near", OURS))
    assert.matches("id " .. progs.shoot:info().id .. " ", select(2, filters()))
    link:close()
    assert.equal(0, (filters()))
  end)

  it("adds a filter where there is none of the name, beside those of others", function()
    local progs = load("one", "shoot")
    local other <close> = assert(progs.one:attach_tc("near", { priority = 7, handle = 3 })) -- luacheck: ignore
    local link = assert(progs.shoot:attach_tc("near", OURS))
    assert.equal(2, (filters()))
    link:close()
    assert.matches("pref 7 bpf chain 0 handle 0x3 one", select(2, filters()))
  end)

  it("leaves the new filter when the old process closes its own", function()
    local old = load("shoot")
    local first = assert(old.shoot:attach_tc("near", { attach_point = "egress" }))
    local new = load("shoot")
    local second = assert(new.shoot:attach_tc("near", { attach_point = "egress", replace = "shoot" }))
    assert.equal(1, (filters("egress")))
    first:close()
    assert.equal(1, (filters("egress")))
    second:close()
    assert.equal(0, (filters("egress")))
  end)

  it("removes further filters of the name, but not those of another handle, if one is given", function()
    for priority = 1, 3 do
      killed("shoot", ('prog:attach_tc("near", { priority = %d, handle = 1 })'):format(priority))
    end
    local progs = load("shoot")
    assert(progs.shoot:attach_tc("near", { replace = "shoot", priority = 2, handle = 1 }))
    assert.equal(3, (filters()))
    local again = load("shoot")
    assert(again.shoot:attach_tc("near", OURS))
    assert.equal(1, (filters()))
    assert.matches("pref 1 bpf chain 0 handle 0x1", select(2, filters()))
  end)

  it("refuses the handle and priority of another's filter, and says how to remove it", function()
    local progs = load("one", "shoot")
    local other <close> = assert(progs.one:attach_tc("near", { priority = 7, handle = 3 })) -- luacheck: ignore
    fails("EEXIST", "program 'shoot': attach_tc: filter 'one:%[%d+%]' has this handle and priority, and option " ..
      "'replace' takes over program 'shoot' only; to take the other off: lua%-bpf detach tc near %-%-priority 7 " ..
      "%-%-handle 3", progs.shoot:attach_tc("near", { replace = "shoot", priority = 7, handle = 3 }))
    assert.equal(1, (filters()))
  end)
end)

describe("attach_xdp with the program's name to replace", function()
  local OURS = { replace = "drop" }

  setup(function() kernel.need("replacing an expected xdp program", "5.7") end)

  it("takes over what a killed process has left, and no packet passes meanwhile", function()
    for _, mode in ipairs { "skb", "native" } do
      killed("drop", ('prog:attach_xdp("near", { netlink = true, mode = %q })'):format(mode))
      take_over("drop", "attach_xdp", OURS, 10)
      local progs = load("drop")
      local link = assert(progs.drop:attach_xdp("near", OURS))
      assert.matches(mode == "skb" and " xdpgeneric " or " xdp ", (shown():gsub("prog/", " ")))
      assert.matches("prog/xdp id " .. progs.drop:info().id, (shown()))
      link:close()
      assert.is_nil(shown():find("xdp", 1, true))
    end
  end)

  it("leaves the new program when the old process closes its link", function()
    local first = assert(load("drop").drop:attach_xdp("near", OURS))
    local progs = load("drop")
    local second = assert(progs.drop:attach_xdp("near", OURS))
    first:close()
    assert.matches("prog/xdp id " .. progs.drop:info().id, (shown()))
    second:close()
    assert.is_nil(shown():find("xdp", 1, true))
  end)

  it("leaves another's program alone, and says how to remove it", function()
    local progs = load("pass", "drop")
    local other <close> = assert(progs.pass:attach_xdp("near", { netlink = true })) -- luacheck: ignore
    local id = progs.pass:info().id
    fails("EBUSY", "program 'drop': attach_xdp: the interface has program 'pass' %(id " .. id .. "%), and option " ..
      "'replace' takes over 'drop' only; to take the other off: lua%-bpf detach xdp near",
      progs.drop:attach_xdp("near", OURS))
    assert.matches("prog/xdp id " .. id, (shown()))
  end)

  it("names the link that holds a program", function()
    kernel.need("links of xdp programs", "5.9")
    local link <close> = assert(load("drop").drop:attach_xdp("near"))
    fails("EBUSY", ("a link %%(id %d%%) holds program 'drop': close it in its process, or take it off: " ..
      "lua%%-bpf detach link %d"):format(link:info().id, link:info().id), load("drop").drop:attach_xdp("near", OURS))
  end)

  it("refuses another mode than that of the program that is there", function()
    assert(load("drop").drop:attach_xdp("near", { netlink = true, mode = "skb" }))
    fails("EEXIST", "another mode: leave out option 'mode', or take it off: lua%-bpf detach xdp near",
      load("drop").drop:attach_xdp("near", { replace = "drop", mode = "native" }))
  end)
end)

describe("option 'replace'", function()
  it("is a boolean or the program's own name", function()
    local progs = load("shoot", "drop")
    for method, prog in pairs { attach_tc = progs.shoot, attach_xdp = progs.drop } do
      helper.raises(function() prog[method](prog, "near", { replace = "others" }) end, method ..
        ": option 'replace' must be the program's own name, '%w+', by which the next process finds what this one " ..
        "leaves; got 'others'")
      helper.raises(function() prog[method](prog, "near", { replace = "" }) end, "got ''")
      helper.raises(function() prog[method](prog, "near", { replace = 1 }) end,
        "option 'replace' must be a boolean or the program's name, got a number")
    end
  end)

  it("takes a program that was opened by its id", function()
    local progs = load("shoot")
    local opened <close> = assert(bpf.prog.by_id(progs.shoot:info().id))
    local first = assert(opened:attach_tc("near", { replace = "shoot" }))
    assert(opened:attach_tc("near", { replace = "shoot" }))
    assert.equal(1, (filters()))
    first:close()
  end)

  it("needs CAP_SYS_ADMIN to find the other by its name", function()
    killed("shoot", 'prog:attach_tc("near")')
    local code = loading("shoot") .. 'print(prog:attach_tc("near", { replace = "shoot" }))'
    local output = helper.run(("setpriv --bounding-set -sys_admin --inh-caps -sys_admin %s -e %s"):format(helper.LUA,
      helper.quote(code)))
    assert.matches("CAP_SYS_ADMIN.*EPERM", output)
  end)
end)
