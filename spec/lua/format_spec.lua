-- SPDX-License-Identifier: MIT
-- bpf.format: text of values, as the system has it.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local format = bpf.format

describe("formats", function()
  it("write IPv4 addresses, from each form that maps have", function()
    assert.equal("192.0.2.1", format.ipv4("\192\0\2\1"))
    assert.equal("192.0.2.1", format.ipv4((string.unpack("=I4", "\192\0\2\1")))) -- __be32
    assert.equal("192.0.2.1", format.ipv4 { 192, 0, 2, 1 })
    assert.equal("192.0.2.1", format.ipv4 { s_addr = string.unpack("=I4", "\192\0\2\1") })
    assert.equal("192.0.2.1", format.ipv4_host(0xc0000201))
    assert.equal("192.0.2.1", format.ip("\192\0\2\1"))
    helper.raises(function() format.ipv4("\1\2\3") end, "ipv4: 4 bytes expected, got 3")
    helper.raises(function() format.ipv4(true) end, "ipv4: 4 bytes expected, got boolean")
  end)

  -- 16 bytes out of hexadecimal digits.
  local function bytes(hex)
    return (hex:gsub("%s", ""):gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
  end

  it("write IPv6 addresses as RFC 5952 has them", function()
    local cases = {
      ["00000000 00000000 00000000 00000000"] = "::", ["00000000 00000000 00000000 00000001"] = "::1",
      ["20010db8 00000000 00000000 00000001"] = "2001:db8::1",
      ["20010db8 00000000 00010000 00000001"] = "2001:db8::1:0:0:1",
      ["20010db8 00000001 00010001 00010001"] = "2001:db8:0:1:1:1:1:1",
      ["20010000 00000001 00000000 00000001"] = "2001:0:0:1::1",
      ["fe800000 00000000 020000ff fe00ab01"] = "fe80::200:ff:fe00:ab01",
      ["00010002 00030004 00050006 00070000"] = "1:2:3:4:5:6:7:0",
      ["00010002 00030004 00050006 00000000"] = "1:2:3:4:5:6::",
      ["00000000 00000000 0000ffff c0000201"] = "::ffff:192.0.2.1",
    }
    for hex, text in pairs(cases) do
      local value = bytes(hex)
      local a, b, c, d = string.unpack("=I4I4I4I4", value)
      assert.equal(text, format.ipv6(value))
      assert.equal(text, format.ipv6 { a, b, c, d })
      assert.equal(text, format.ipv6 { value:byte(1, -1) })
    end
    assert.equal("192.0.2.1", format.ip(bytes "00000000000000000000ffffc0000201"))
    assert.equal("2001:db8::1", format.ip(bytes "20010db8000000000000000000000001"))
  end)

  it("write integers and bytes", function()
    assert.equal("0x1f", format.hex(31))
    assert.equal("0xffffffffffffffff", format.hex(-1))
    assert.equal("00ff41", format.hex "\0\255A")
    assert.equal("18446744073709551615", format.unsigned(-1))
    assert.equal("9223372036854775808", format.unsigned(math.mininteger))
    assert.equal("12", format.unsigned(12))
  end)

  it("name interfaces, as the system does", function()
    local count = 0 -- by netlink: what is mounted at /sys may be of another network namespace
    for index, name in helper.run("ip -o link"):gmatch "(%d+): ([^:@]+)[^\n]*" do
      count = count + 1
      assert.equal(name, format.interface(math.tointeger(index)))
      assert.equal(name, bpf.interface_name(math.tointeger(index)))
    end
    assert(count > 0)
    assert.equal("lo", format.interface(1))
    assert.equal("4294967295", format.interface(4294967295))
    assert.is_nil(bpf.interface_name(4294967295))
    assert.is_nil(bpf.interface_name(0))
    helper.raises(function() bpf.interface_name(-1) end, "bad argument #1")
  end)

  it("name cgroups by their paths", function()
    kernel.root()
    local cgroup = require "spec.support.cgroup"
    local gone, path
    do
      local group <close> = cgroup.new()
      local below <close> = cgroup.new(group)
      gone, path = below.id, below.path:sub(#cgroup.root() + 1)
      assert.equal(group.path:sub(#cgroup.root() + 1), bpf.cgroup_path(group.id))
      assert.equal(path, bpf.cgroup_path(gone))
      assert.equal(path, format.cgroup(gone))
      assert.equal("/", bpf.cgroup_path(require("support.sys").inode(cgroup.root())))
    end
    assert.is_nil(bpf.cgroup_path(gone))
    assert.equal(path, format.cgroup(gone)) -- it is remembered
    assert.equal("4711471147114711", format.cgroup(4711471147114711))
  end)

  it("say why cgroups have no names without the capability", function()
    kernel.root()
    local output = helper.run(("setpriv --bounding-set=-dac_read_search --inh-caps=-all %s -e %s"):format(helper.LUA,
      helper.quote 'print(require("bpf").cgroup_path(1))'))
    assert.matches("^nil\tcgroup_path: it takes CAP_DAC_READ_SEARCH %(EPERM%)\tEPERM\n$", output)
  end)

  it("name processes", function()
    local pipe = assert(io.popen "echo $$; exec sleep 60")
    local pid = pipe:read "n"
    finally(function()
      os.execute(("kill %d 2>/dev/null"):format(pid))
      pipe:close()
    end)
    while helper.run(("cat /proc/%d/comm"):format(pid)) ~= "sleep\n" do end
    assert.equal("sleep", format.process(pid))
    os.execute("kill " .. pid)
    assert.equal("sleep", format.process(pid)) -- it is remembered
    assert.equal("swapper", format.process(0))
    assert.equal("4194304", format.process(4194304)) -- above every process id
  end)

  it("name the kernel's functions", function()
    kernel.root()
    local address = tonumber(helper.run("grep -m1 ' [tT] vfs_read$' /proc/kallsyms"):match "^%x+", 16)
    assert.equal("vfs_read", format.symbol(address))
    assert.equal("vfs_read", format.symbol(address + 1))
    assert.equal("0x1", format.symbol(1))
  end)

  it("name errnos, with either sign", function()
    for n, name in pairs {
      [0] = "0", [2] = "ENOENT", [-2] = "ENOENT", [11] = "EAGAIN", [-524] = "ENOTSUPP", [3000] = "3000",
      [-99999] = "-99999", [1 << 40] = "1099511627776",
    } do
      assert.equal(name, format.errno(n))
    end
    assert.equal("EACCES", format.errno(13.0))
  end)

  it("name failures of functions, and leave other results numbers", function()
    for n, name in pairs {
      [0] = "0", [3] = "3", [-3] = "ESRCH", [-524] = "ENOTSUPP", [-4095] = "-4095", [-4096] = "-4096",
      [math.mininteger] = "-9223372036854775808", [1 << 40] = "1099511627776",
    } do
      assert.equal(name, format.result(n))
    end
  end)

  it("name signals as kill does", function()
    for n, name in pairs { [1] = "SIGHUP", [9] = "SIGKILL", [15] = "SIGTERM", [17] = "SIGCHLD", [34] = "SIGRTMIN",
      [40] = "SIGRTMIN+6", [0] = "0", [32] = "32", [65] = "65", [-15] = "-15" } do
      assert.equal(name, format.signal(n))
    end
    for n = 1, 31 do
      assert.equal("SIG" .. helper.run("bash -c 'kill -l " .. n .. "'"), format.signal(n) .. "\n")
    end
  end)

  it("name system calls, and enumerators of the kernel's types", function()
    assert.equal("99999", format.syscall(99999))
    assert.equal("write", format.syscall(require "bpf.format.syscalls".number "write"))
    assert.equal("ESTABLISHED", format.enum(1, "TCP_"))
    assert.equal("PIDTYPE_TGID", format.enum(1, "pid_type"))
    assert.equal("77", format.enum(77, "pid_type"))
    assert.has_error(function() format.enum(1) end)
  end)

  it("name states of TCP and protocols", function()
    assert.equal("ESTABLISHED", format.tcp_state(1))
    assert.equal("LISTEN", format.tcp_state(10))
    assert.equal("NEW_SYN_RECV", format.tcp_state(12))
    assert.equal("0", format.tcp_state(0))
    assert.equal("TCP", format.protocol(6))
    assert.equal("ICMPv6", format.protocol(58))
    assert.equal("255", format.protocol(255))
  end)

  it("name users by the system's name service", function()
    assert.equal("root", format.user(0))
    assert.equal(helper.run("id -un nobody"), format.user(65534) .. "\n")
    assert.equal("4294967294", format.user(4294967294))
    assert.equal("4294967296", format.user(1 << 32)) -- which isn't root
  end)

  it("write counts, sizes and spans as bpf.hist does", function()
    assert.equal("12.3k", format.count(12345))
    assert.equal("1.50 KiB", format.bytes(1536))
    assert.equal("4.50 ms", format.duration(4500000))
    helper.raises(function() format.count("1") end,
      "^spec/lua/format_spec.lua:%d+: bad argument #1 to 'count' %(number expected, got string%)")
  end)

  it("write the time of day of a time stamp", function()
    assert.equal(os.date("%H:%M:%S.000", 1700000000), format.time(1700000000 * 10 ^ 9 // 1 | 0, "realtime"))
    assert.equal(os.date("%H:%M:%S.987", 86399), format.time(86399987654321, "realtime"))
    for _, clock in ipairs { "monotonic", "boottime" } do
      local before, text, after = os.time(), format.time(bpf.clock(clock), clock), os.time()
      assert(text:sub(1, 8) == os.date("%T", before) or text:sub(1, 8) == os.date("%T", after), text)
    end
    assert.equal(#"12:34:56.789", #format.time(bpf.clock()))
    helper.raises(function() format.time(1, "sundial") end, "^spec/lua/format_spec.lua:%d+: .*sundial")
  end)

  it("raise for what they can't read, at the caller's line", function()
    for name in pairs(require "bpf.format.values") do
      helper.raises(function() format[name](nil) end, "^spec/lua/format_spec.lua:%d+: .*expected, got nil")
      helper.raises(function() format[name]({}) end, "^spec/lua/format_spec.lua:%d+: .*expected, got table")
    end
    helper.raises(function() format.ip("\1\2\3") end, "^spec/lua/format_spec.lua:%d+: ip: 16 bytes expected, got 3")
    helper.raises(function() format.signal(1.5) end, "%(integer expected, got number%)")
  end)
end)
