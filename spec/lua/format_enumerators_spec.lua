-- SPDX-License-Identifier: MIT
-- bpf.format.enumerators: names of numbers.
local enumerators = require "bpf.format.enumerators"
local keys = require "bpf.trace.tables.keys"

local FORMAT <const> = [[print fmt: "family=%s state=%s", __print_symbolic(REC->family, { 2, "AF_INET" }, ]]
  .. [[{ (-1), "none" }, { 0x10UL, "AF_16" }), __print_symbolic(REC->state & 3, { 1, "x" }), ]]
  .. [[__print_symbolic(REC->state, { TCP_ESTABLISHED, "open" }, { TCP_CLOSE, "closed" })]]

describe("names of a tracepoint's format", function()
  it("are those of a field", function()
    local family = enumerators.symbols(FORMAT, "family")
    assert.equal("2=AF_INET,(-1)=none,0x10UL=AF_16", family)
    assert.equal("AF_INET", enumerators.symbol(family, 2))
    assert.equal("AF_16", enumerators.symbol(family, 16))
    assert.equal("none", enumerators.symbol(family, -1))
    assert.equal("3", enumerators.symbol(family, 3))
    assert.is_nil(enumerators.symbols(FORMAT, "port"))
  end)

  it("may be of enumerators, whose values are in the kernel's types", function()
    local state = enumerators.symbols(FORMAT, "state")
    assert.equal("TCP_ESTABLISHED=open,TCP_CLOSE=closed", state)
    assert.equal("open", enumerators.symbol(state, 1))
    assert.equal("closed", keys.text({ kind = "integer", meaning = "symbolic " .. state }, 7, {}))
  end)
end)

describe("names of an enum", function()
  it("are found by its name", function()
    assert.equal("PIDTYPE_TGID", enumerators.name("pid_type", 1))
    assert.equal("99", enumerators.name("pid_type", 99))
  end)

  it("are found by what they begin with", function()
    assert.equal("ESTABLISHED", enumerators.name("TCP_", 1))
    assert.equal("LISTEN", enumerators.name("TCP_", 10))
    assert.equal("10", enumerators.name("LBPF_NONE_", 10))
  end)
end)

describe("bytes", function()
  it("are escaped where they are no text, without the zeros of their room", function()
    assert.equal("a\\x01\\x00", keys.text({ kind = "bytes", size = 3 }, "a\1\0", {}))
    assert.equal("a\\x00b", keys.text({ kind = "bytes", size = 5, padded = true }, "a\0b\0\0", {}))
  end)
end)

describe("addresses", function()
  it("of IPv4 within IPv6 are shown as those of IPv4", function()
    local address = { kind = "address", size = 16 }
    assert.equal("127.0.0.1", keys.text(address, ("\0"):rep(10) .. "\xff\xff\x7f\0\0\1", {}))
    assert.equal("::1", keys.text(address, ("\0"):rep(15) .. "\1", {}))
  end)
end)
