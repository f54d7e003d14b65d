-- SPDX-License-Identifier: MIT
-- Histograms, tables and numbers as text. Needs no root, and of the library only this file.
local helper = require "spec.helper"
local hist = require "bpf.hist"

local function lines(text)
  local list = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    list[#list + 1] = line
  end
  return list
end

-- What an expression in `h` prints in a Lua of its own, with an environment of its own.
local function printed(environment, expression)
  local code = helper.quote('h = require "bpf.hist"; print(' .. expression .. ")")
  local output, ok = helper.run(("env %s %s -e %s"):format(environment, helper.LUA, code))
  assert(ok, output)
  return output:sub(1, -2)
end

describe("bpf.hist", function()
  it("is loaded by bpf when it is first used", function()
    local bpf = require "bpf"
    assert.equal(hist, bpf.hist)
  end)
end)

describe("hist.number", function()
  it("shows three digits and a suffix", function()
    for n, text in pairs {
      [0] = "0", [7] = "7", [999] = "999", [1000] = "1.00k", [1234] = "1.23k", [12345] = "12.3k", [123456] = "123k",
      [999499] = "999k", [4560000] = "4.56M", [-12345] = "-12.3k", [0.5] = "0.50", [3.0] = "3",
      [math.maxinteger] = "9.22E", [math.mininteger] = "-9.22E", [math.huge] = "inf",
    } do
      assert.equal(text, hist.number(n))
    end
  end)

  it("rounds up into the next suffix", function()
    assert.equal("1.00M", hist.number(999999))
    assert.equal("10.0k", hist.number(9999))
    assert.equal("100k", hist.number(99999))
  end)

  it("refuses what is no number", function()
    helper.raises(function() hist.number("12") end, "bad argument #1 to 'number' %(number expected, got string%)")
  end)
end)

describe("hist.time", function()
  it("chooses the unit", function()
    for ns, text in pairs {
      [0] = "0 ns", [850] = "850 ns", [1000] = "1 us", [1024] = "1.02 us", [4500000] = "4.50 ms",
      [12345678901] = "12.3 s", [99900000000] = "99.9 s", [125 * 10 ^ 9] = "2m 05s", [11220 * 10 ^ 9] = "3h 07m",
      [-2000] = "-2 us", [1.5] = "1.50 ns",
    } do
      assert.equal(text, hist.time(ns))
    end
  end)

  it("takes what BPF programs may have made of a subtraction", function()
    assert.equal("-2562047h 47m", hist.time(math.mininteger))
    assert.equal("inf ns", hist.time(math.huge))
  end)
end)

describe("hist.bytes", function()
  it("chooses the unit", function()
    for n, text in pairs {
      [0] = "0 B", [512] = "512 B", [1024] = "1 KiB", [1536] = "1.50 KiB", [4096] = "4 KiB", [1 << 40] = "1 TiB",
    } do
      assert.equal(text, hist.bytes(n))
    end
  end)
end)

describe("hist.width and hist.height", function()
  it("are the environment's", function()
    assert.equal("133", printed("COLUMNS=133", "h.width()"))
    assert.equal("44", printed("LINES=44", "h.height()"))
  end)

  it("are 80 and 24 when nobody knows", function()
    assert.equal("80\t24", printed("-u COLUMNS -u LINES", "h.width(), h.height()"))
    assert.equal("80", printed("COLUMNS=0", "h.width()"))
    assert.equal("80", printed("COLUMNS=wide", "h.width()"))
  end)

  -- What an expression in `h` prints at a terminal of 133 columns and 44 lines, which `stty` can change.
  local function at_terminal(environment, expression)
    local code = helper.quote('h = require "bpf.hist"; print(' .. expression .. ")")
    local command = ("stty cols 133 rows 44; env %s %s -e %s"):format(environment, helper.LUA, code)
    local output, ok = helper.run(("script -qec %s /dev/null </dev/null"):format(helper.quote(command)))
    assert(ok, output)
    return output:gsub("\r", ""):sub(1, -2)
  end

  it("are the terminal's, and follow it", function()
    assert.equal("true\t133\t44", at_terminal("-u COLUMNS -u LINES", "h.terminal(), h.width(), h.height()"))
    assert.equal("133\t99\t22", at_terminal("-u COLUMNS -u LINES",
      "h.width(), os.execute('stty cols 99 rows 22') and h.width(), h.height()"))
    assert.equal("90\t44", at_terminal("COLUMNS=90 LINES=none", "h.width(), h.height()"))
    assert.equal("80\t24", at_terminal("-u COLUMNS -u LINES",
      "os.execute('stty cols 0 rows 0') and h.width(), h.height()")) -- as of a serial line
    assert.equal("false", printed("-u COLUMNS", "h.terminal()"))
  end)

  it("start no process", function()
    local output = at_terminal("-u COLUMNS -u LINES", [[(function()
      os.execute, io.popen = nil, nil
      return h.width(), h.height(), h.terminal(), #h.log2 { 1 }, #h.table({ { 1 } }, { {} })
    end)()]])
    assert.matches("^133\t44\ttrue\t%d+\t%d+$", output)
  end)
end)

describe("hist.utf8", function()
  it("is what the first locale variable that is set says", function()
    assert.equal("true", printed("-u LC_ALL -u LC_CTYPE LANG=en_US.UTF-8", "h.utf8()"))
    assert.equal("true", printed("-u LC_ALL LC_CTYPE=C.utf8 LANG=C", "h.utf8()"))
    assert.equal("false", printed("LC_ALL=C LC_CTYPE=C.UTF-8 LANG=C.UTF-8", "h.utf8()"))
    assert.equal("true", printed("LC_ALL= LC_CTYPE= LANG=C.UTF-8", "h.utf8()"))
    assert.equal("false", printed("-u LC_ALL -u LC_CTYPE -u LANG", "h.utf8()"))
  end)
end)

describe("hist.line", function()
  it("cuts a text to a number of characters", function()
    assert.equal("ÄÖÜ", hist.line("ÄÖÜ", 3))
    assert.equal("ÄÖ…", hist.line("ÄÖÜä", 3, true))
    assert.equal("ab~", hist.line("abcd", 3, false))
    assert.equal("…", hist.line("abcd", 1, true))
    assert.equal("", hist.line("abcd", 0, true))
  end)

  it("shows what a terminal might obey as ?", function()
    assert.equal("?[2J??é?", hist.line("\27[2J\n\xffé\u{9b}", 80))
    assert.equal("?", hist.line("\127", 80))
    assert.equal("a?b?c", hist.line("a\u{202e}b\u{2028}c", 80)) -- which turn the direction, and break lines
  end)

  it("counts wide characters as two, and marks as none", function()
    assert.equal("網路", hist.line("網路", 4))
    assert.equal("網~", hist.line("網路", 3, false))
    assert.equal("~", hist.line("網路", 2, false))
    assert.equal("e\u{301}e\u{301}", hist.line("e\u{301}e\u{301}", 2))
    assert.equal("🐝x", hist.line("🐝x", 3))
    assert.equal("🐝~", hist.line("🐝xy", 3, false))
  end)
end)

describe("hist.bar", function()
  it("draws eighths of a block", function()
    assert.equal("████", hist.bar(8, 8, 4, true))
    assert.equal("██", hist.bar(4, 8, 4, true))
    assert.equal("█▏", hist.bar(9, 32, 4, true))
    assert.equal("█▉", hist.bar(15, 32, 4, true))
  end)

  it("draws # without UTF-8", function()
    assert.equal("####", hist.bar(8, 8, 4, false))
    assert.equal("##", hist.bar(4, 8, 4, false))
  end)

  it("shows something for anything but nothing", function()
    assert.equal("▏", hist.bar(1, 1000000, 10, true))
    assert.equal("#", hist.bar(1, 1000000, 10, false))
    assert.equal("", hist.bar(0, 1000000, 10, true))
  end)

  it("stays inside of its width", function()
    assert.equal("██", hist.bar(100, 10, 2, true))
    assert.equal("", hist.bar(1, 1, 0, true))
    assert.equal("", hist.bar(1, 0, 10, true))
  end)
end)

describe("hist.log2", function()
  it("aligns ranges, counts and bars", function()
    assert.same({
      "Sizes",
      "  0 B –  2 B      3 │▏",
      "  2 B –  4 B      0 │",
      "  4 B –  8 B      7 │▏",
      "  8 B – 16 B  1.00k │██████████████████████████",
    }, lines(hist.log2({ 3, 0, 7, 1000 }, { title = "Sizes", unit = "B", width = 47, utf8 = true })))
  end)

  it("leaves out empty buckets at both ends", function()
    local counts = {}
    for i = 1, 64 do
      counts[i] = i >= 11 and i <= 12 and 5 or 0
    end
    assert.same({
      "  1.02 us - 2.05 us  5 |#############",
      "  2.05 us - 4.10 us  5 |#############",
    }, lines(hist.log2(counts, { unit = "ns", width = 37, utf8 = false })))
  end)

  it("names a range in the values' unit", function()
    for unit, range in pairs {
      ns = "1.02 us - 2.05 us", us = "1.02 ms - 2.05 ms", ms = "1.02 s - 2.05 s", s = "17m 04s - 34m 08s",
      B = "1 KiB - 2 KiB", [""] = "1K - 2K", calls = "1K calls - 2K calls",
    } do
      local text = hist.log2({ [10] = 1 }, { first = 0, unit = unit, width = 60, utf8 = false })
      assert(text:find(range, 1, true), text)
    end
    assert(hist.log2({ [10] = 1 }, { first = 0, width = 60, utf8 = false }):find("1K - 2K", 1, true))
  end)

  it("takes every bucket of 64 bits", function()
    local text = hist.log2({ [1] = 1, [64] = 1 }, { width = 40, utf8 = false })
    assert.equal(64, #lines(text))
    assert(text:find("8E -  16E", 1, true), text)
    helper.raises(function() hist.log2({ [65] = 1 }) end, "there is no bucket 65 %(1 to 64%)")
    helper.raises(function() hist.log2({ [0] = 1 }) end, "there is no bucket 0 %(1 to 64%)")
  end)

  it("adds up the CPUs' counts", function()
    assert.equal(hist.log2({ 3, 7 }, { width = 40 }), hist.log2({ { 1, 2 }, { 3, 4 } }, { width = 40 }))
  end)

  it("says so when there are no values", function()
    assert.equal("(no values)", hist.log2 {})
    assert.equal("(no values)", hist.log2 { 0, 0, 0 })
    assert.equal("Latency\n(no values)", hist.log2({}, { title = "Latency" }))
  end)

  it("fits the width", function()
    for width = 30, 140, 11 do
      for _, utf8_bars in ipairs { true, false } do
        for _, line in ipairs(lines(hist.log2({ 1, 22, 333, 4444444 }, { width = width, utf8 = utf8_bars }))) do
          assert(utf8.len(line) <= width, line)
        end
      end
    end
  end)

  it("uses the locale's bars", function()
    assert(printed("LC_ALL=C.UTF-8", "h.log2 { 1 }"):find("█", 1, true))
    assert(printed("LC_ALL=C", "h.log2 { 1 }"):find("#", 1, true))
  end)

  it("refuses options that it doesn't know, and what is no histogram", function()
    helper.raises(function() hist.log2({}, { units = "ns" }) end, "there is no option 'units' %(options: first, title")
    helper.raises(function() hist.log2({}, { width = "80" }) end, "option 'width' must be a number, got string")
    helper.raises(function() hist.log2() end, "bad argument #1 to 'log2' %(table or map expected, got nil%)")
    helper.raises(function() hist.log2 { "many" } end, "bucket 1 must be a number, got string")
    helper.raises(function() hist.log2 { x = 1 } end, "there is no bucket x")
  end)
end)

describe("hist.table", function()
  local columns = {
    { name = "PID", field = "pid" },
    { name = "COMMAND", field = "comm" },
    { name = "TIME", field = "ns", format = hist.time, align = "right" },
  }
  local rows = {
    { pid = 1, comm = "init", ns = 12345678 },
    { pid = 12345, comm = "a long name", ns = 5 },
  }

  it("aligns text to the left and numbers to the right", function()
    assert.same({
      "  PID  COMMAND         TIME",
      "    1  init         12.3 ms",
      "12345  a long name     5 ns",
    }, lines(hist.table(rows, columns, { width = 80 })))
  end)

  it("cuts what doesn't fit, text before numbers", function()
    assert.same({
      "  PID  COMM…     TIME",
      "    1  init   12.3 ms",
      "12345  a lo…     5 ns",
    }, lines(hist.table(rows, columns, { width = 21, utf8 = true })))
    assert.same({ "  PID  COMM~     TIME" },
      { lines(hist.table(rows, columns, { width = 21, utf8 = false }))[1] })
  end)

  it("fits any width down to three characters a column", function()
    for width = 13, 40 do
      for _, line in ipairs(lines(hist.table(rows, columns, { width = width, utf8 = true }))) do
        assert(utf8.len(line) <= width, line)
      end
    end
  end)

  it("counts characters, not bytes", function()
    assert.same({
      "naïve  1",
      "x      2",
    }, lines(hist.table({ { "naïve", 1 }, { "x", 2 } }, { {}, {} }, { width = 80 })))
    assert.same({ "ÄÖ…" }, lines(hist.table({ { "ÄÖÜÄÖÜ" } }, { {} }, { width = 3, utf8 = true })))
  end)

  it("aligns wide characters, which take two columns", function()
    assert.same({ "網路  1", "x     2" }, lines(hist.table({ { "網路", 1 }, { "x", 2 } }, { {}, {} }, { width = 80 })))
    assert.same({ "網…  1" }, lines(hist.table({ { "網路", 1 } }, { {}, {} }, { width = 6, utf8 = true })))
  end)

  it("lets nothing through to the terminal but text", function()
    assert.same({ "a?[31mb?c  ?d?", "é          e" },
      lines(hist.table({ { "a\27[31mb\nc", "\xffd\u{85}" }, { "é", "e" } }, { {}, {} }, { width = 80 })))
  end)

  it("leaves absent values empty, and calls no format for them", function()
    assert.same({ "1  x", "2", "3  z" },
      lines(hist.table({ { 1, "x" }, { 2 }, { 3, "z" } }, { {}, { format = string.lower } }, { width = 80 })))
  end)

  it("gives the format the row", function()
    local column = { name = "EACH", field = "ns", format = function(ns, row) return hist.time(ns // row.n) end }
    assert.equal("   EACH\n2.50 us", hist.table({ { ns = 5000, n = 2 } }, { column }, { width = 80 }))
  end)

  it("takes the name of a function of bpf.format", function()
    assert.equal("192.0.2.1", hist.table({ { "\192\0\2\1" } }, { { format = "ip" } }, { width = 80 }))
  end)

  it("has only headings without rows, and no headings without names", function()
    assert.equal("PID  COMMAND  TIME", hist.table({}, columns, { width = 80 }))
    assert.equal("", hist.table({}, { {} }, { width = 80 }))
  end)

  it("takes its width from the environment", function()
    assert.equal("abcd…", printed("COLUMNS=5 LC_ALL=C.UTF-8", 'h.table({ { "abcdefgh" } }, { {} })'))
  end)

  it("refuses columns and options that it doesn't know", function()
    helper.raises(function() hist.table({}, { { title = "x" } }) end, "column 1 has an unknown field 'title'")
    helper.raises(function() hist.table({}, { { align = "center" } }) end, "must be \"left\" or \"right\"")
    helper.raises(function() hist.table({}, { { format = 1 } }) end,
      "'format' of column 1 must be a string or function, got number")
    helper.raises(function() hist.table({}, { { format = "%d" } }) end, "there is no format '%%d' %(formats: bytes, ")
    helper.raises(function() hist.table({}, {}, { height = 3 }) end, "there is no option 'height'")
    helper.raises(function() hist.table(nil, {}) end, "bad argument #1 to 'table'")
    helper.raises(function() hist.table({}) end, "bad argument #2 to 'table'")
  end)
end)
