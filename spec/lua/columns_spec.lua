-- SPDX-License-Identifier: MIT
-- bpf.format.columns: rows as text, CSV and JSON, into files, pipes and terminals. Needs no root.
local bpf = require "bpf"
local helper = require "spec.helper"
local json = require "dkjson"
local columns = bpf.format.columns

-- What rows print into a file; `fn` gets the function that prints them.
local function printed(list, options, fn)
  local path = helper.tmpdir() .. "/out"
  local file <close> = assert(io.open(path, "w"))
  options.file = file
  fn(columns(list, options))
  return helper.read(path)
end

local PEERS <const> = {
  { name = "PID", width = 7 }, { name = "COMMAND", width = 10 }, { name = "ADDRESS", format = "ip" },
  { name = "PORT", format = "port" }, { name = "TIME ns", field = "ns", format = "duration" },
}

local function peers(row)
  row(1, "init", "\192\0\2\1", 0x5000, 4500000)
  row(123456, nil, ("\0"):rep(15) .. "\1", 0xbb01, nil)
end

describe("columns of text", function()
  it("are aligned, with numbers to the right, as the rows come", function()
    local path = helper.tmpdir() .. "/out"
    local file <close> = assert(io.open(path, "w"))
    local row = columns(PEERS, { file = file })
    assert.equal("", helper.read(path))
    assert.is_true(row(1, "init", "\192\0\2\1", 0x5000, 4500000))
    local first = "    PID  COMMAND     ADDRESS           PORT   TIME ns\n" ..
      "      1  init        192.0.2.1           80   4.50 ms\n"
    assert.equal(first, helper.read(path))
    row(123456, nil, ("\0"):rep(15) .. "\1", 0xbb01)
    assert.equal(first .. " 123456              ::1                443\n", helper.read(path))
  end)

  it("may be wide, and many", function()
    local text = printed({ { name = "A", width = 120 }, { name = "B" } }, {}, function(row) row("a", 1) end)
    assert.equal(("A%sB\na%s1\n"):format((" "):rep(121 + 7), (" "):rep(121 + 7)), text)
    local list, values = {}, {}
    for i = 1, 70 do
      list[i], values[i] = { name = "C" .. i, width = 3, align = i % 2 == 0 and "right" or "left" }, i
    end
    local line = printed(list, { header = false }, function(row) row(table.unpack(values)) end)
    assert.equal(("%-3d  %3d"):format(69, 70), line:sub(-9, -2))
    assert.equal(70 * 5 - 2, #line - 1)
  end)

  it("have headings before the first row, if they are asked for", function()
    assert.equal("A         B\n", printed({ { name = "A" }, { name = "B" } }, {}, function(row)
      row()
      row()
    end))
    assert.equal("x\n", printed({ { name = "A" } }, { header = false }, function(row) row("x") end))
  end)

  it("are cut nowhere in files and pipes; what is too long moves the rest", function()
    local list = { { name = "A", width = 4 }, { name = "B", width = 4 }, { name = "C" } }
    local text = printed(list, {}, function(row)
      row("abcdefgh", "b", ("c"):rep(300))
      row("abcde", "b", "c")
    end)
    assert.equal("A     B     C\nabcdefgh  b  " .. ("c"):rep(300) .. "\nabcde  b    c\n", text)
    local piped, ok = helper.run("export COLUMNS=10; " .. helper.LUA .. " -e " .. helper.quote(
      [[require("bpf").format.columns { { name = "A" }, { name = "B" } } (("a"):rep(20), "b")]]) .. " | cat")
    assert(ok, piped)
    assert.equal("A         B\n" .. ("a"):rep(20) .. "  b\n", piped)
  end)

  it("fit a width: text is cut, numbers and addresses are not", function()
    local list = { { name = "A", width = 6 }, { name = "N" }, { name = "IP", format = "ip" }, { name = "Z" } }
    local text = printed(list, { width = 42, utf8 = true }, function(row)
      row("abcdefghi", 5, "\192\0\2\1", "a long text")
      row("x", 12345678901234, ("\32"):rep(16), "not seen")
    end)
    assert.equal("A              N  IP               Z\n" ..
      "abcde…         5  192.0.2.1        a long…\n" ..
      "x       12345678901234  2020:2020:2020:20…\n", text)
    for width = 10, 60 do
      local all = printed(PEERS, { width = width }, peers)
      for line in all:gmatch "[^\n]+" do
        assert(utf8.len(line) <= width, line)
      end
    end
  end)

  it("let nothing through to the terminal but text, and count wide characters as two", function()
    local text = printed({ { name = "A\27[2J", width = 6 }, { name = "B" } }, {}, function(row)
      row("a\27[31m\n", "\xff\u{202e}\u{85}")
      row("網路", "x\ty")
    end)
    assert.equal("A\\x1b[2J  B\na\\x1b[31m\\n  \\xff\\xe2\\x80\\xae\\xc2\\x85\n網路      x\\ty\n", text)
  end)

  it("take values of every type", function()
    local m = setmetatable({}, { __tostring = function() return "mine" end })
    local list = {}
    for i = 1, 6 do
      list[i] = { name = tostring(i), width = 5 }
    end
    assert.equal("true     0.5     -3  mine   [1,2]  x\n", printed(list, { header = false }, function(row)
      row(true, 0.5, -3, m, { 1, 2 }, "x")
    end))
  end)

  it("take functions as formats, and an alignment", function()
    local list = {
      { name = "A", align = "right" }, { name = "B", align = "left" },
      { name = "C", format = function(n) return n // 10 end },
      { name = "D", format = function(n) return n > 5 and "much" or nil end },
    }
    assert.equal("       A  B                C  D\n       x  1                4  much\n       y  2                0\n",
      printed(list, {}, function(row)
        row("x", 1, 42, 6)
        row("y", 2, 3, 1)
      end))
  end)
end)

describe("columns at a terminal", function()
  -- What a script prints there; `resize(n)` gives the terminal n columns.
  local function at_terminal(width, code, environment)
    local path = helper.tmpdir() .. "/script.lua"
    local file <close> = assert(io.open(path, "w"))
    file:write [[local bpf = require "bpf"
      local function resize(n) assert(os.execute("stty cols " .. n)) end
      local list = { { name = "PID", width = 7 }, { name = "COMMAND", width = 10 }, { name = "FILE" } }
      local row = bpf.format.columns(list, { utf8 = false })
      ]]
    file:write(code)
    file:close()
    local command = ("stty cols %d; env %s %s %s"):format(width, environment or "-u COLUMNS", helper.LUA, path)
    local output, ok = helper.run(("script -qec %s /dev/null </dev/null"):format(helper.quote(command)))
    assert(ok, output)
    return (output:gsub("\r", ""))
  end

  it("fit it", function()
    assert.equal("    PID  COMMAND     FILE\n      1  init        /etc/pa~\n", at_terminal(29,
      [[row(1, "init", "/etc/passwd")]]))
    assert.equal("    PID  COM~  FILE\n      1  init  /etc~\n", at_terminal(20, [[row(1, "init", "/etc/passwd")]]))
    assert.equal("    PID  COMMAND     FILE\n      1  init        /etc/passwd\n", at_terminal(20,
      [[row(1, "init", "/etc/passwd")]], "COLUMNS=50"))
  end)

  it("follow its size, with new headings", function()
    assert.equal([[
    PID  COMMAND     FILE
      1  init        /etc/passwd
    PID  COM~  FILE
      1  init  /etc~
      2  init  /etc~
    PID  COMMAND     FILE
      1  init        /etc/passwd
]], at_terminal(60, [[
      row(1, "init", "/etc/passwd")
      resize(20)
      row(1, "init", "/etc/passwd")
      row(2, "init", "/etc/passwd")
      resize(60)
      row(1, "init", "/etc/passwd")]]))
  end)
end)

describe("columns of CSV", function()
  it("are as RFC 4180 has them", function()
    assert.equal("PID,COMMAND,ADDRESS,PORT,TIME ns\r\n1,init,192.0.2.1,80,4500000\r\n123456,,::1,443,\r\n",
      printed(PEERS, { output = "csv" }, peers))
    local list = { { name = 'A "b"' }, { name = "C,d" } }
    assert.equal('"A ""b""","C,d"\r\n"x,""y""","two\nlines"\r\n\27[2J\xff,true\r\n', printed(list, { output = "csv" },
      function(row)
        row('x,"y"', "two\nlines")
        row("\27[2J\xff", true)
      end))
    assert.equal("1\r\n", printed({ { name = "A" } }, { output = "csv", header = false }, function(row) row(1) end))
    assert.equal("A\r\n", printed({ { name = "A" } }, { output = "csv" }, function(row) row() end))
  end)
end)

describe("columns of JSON", function()
  it("are an object a line, with numbers as numbers", function()
    local text = printed(PEERS, { output = "json" }, peers)
    assert.equal('{"pid":1,"command":"init","address":"192.0.2.1","port":80,"ns":4500000}\n' ..
      '{"pid":123456,"command":null,"address":"::1","port":443,"ns":null}\n', text)
    for line in text:gmatch "[^\n]+" do
      assert(json.decode(line), line)
    end
  end)

  it("have all digits, and text whatever its bytes are", function()
    local list = {
      { name = "Big One", format = "unsigned" }, { name = "X" }, { name = "comm" }, { name = "list" }, { name = "err",
        format = "errno" }, { name = "n", format = function(n) return n / 4 end },
    }
    assert.equal('{"big_one":18446744073709551615,"x":9007199254740993,"comm":"a\\u001b\\n\u{fffd}é","list":[1,"x"],' ..
      '"err":"ENOENT","n":0.25}\n', printed(list, { output = "json" }, function(row)
        row(-1, 9007199254740993, "a\27\n\xffé", { 1, "x" }, -2, 1)
      end))
    assert.equal("", printed(list, { output = "json" }, function(row) row() end))
  end)
end)

describe("columns", function()
  it("report an output that fails", function()
    local full <close> = assert(io.open("/dev/full", "w"))
    local row = columns({ { name = "A" } }, { file = full })
    assert.same({ n = 3, nil, "columns: No space left on device (ENOSPC)", "ENOSPC" }, table.pack(row(1)))
  end)

  it("are printed to standard output, at once", function()
    local output, ok = helper.lua([[
      local row = require("bpf").format.columns { { name = "A" } }
      row("x")
      os.execute "echo between"
      row("y")]])
    assert(ok, output)
    assert.equal("A\nx\nbetween\ny\n", output)
  end)

  it("refuse what they don't know, at the caller's line", function()
    for complaint, arguments in pairs {
      ["bad argument #1 to 'columns' %(table expected, got nil%)"] = {},
      ["columns: column 1 must be a table, got string"] = { { "PID" } },
      ["columns: column 1 has an unknown field 'title' %(fields: align, field, format, name, width%)"] =
        { { { title = "x" } } },
      ["columns: column 1 has no name"] = { { {} } },
      ["columns: 'width' of column 1 must be a number, got string"] = { { { name = "x", width = "7" } } },
      ["columns: 'align' of column 1 must be \"left\" or \"right\""] = { { { name = "x", align = "top" } } },
      ["columns: there is no format 'ipv5' %(formats: bytes, .*, user%)"] = { { { name = "x", format = "ipv5" } } },
      ["columns: the columns 1 and 2 have the same field 'a'"] = { { { name = "A" }, { name = "a" } } },
      ["columns: there is no option 'form' %(options: file, header, output, utf8, width%)"] = { {}, { form = "csv" } },
      ["columns: option 'output' must be \"text\", \"csv\" or \"json\", got \"xml\""] = { {}, { output = "xml" } },
      ["columns: option 'file' must be an open file"] = { {}, { file = bpf.btf.type "int" } },
      ["columns: option 'width' must be a number, got string"] = { {}, { width = "80" } },
    } do
      helper.raises(function() columns(table.unpack(arguments)) end, "^spec/lua/columns_spec.lua:%d+: " .. complaint)
    end
    helper.raises(function() columns { { name = "A" } }(1, 2) end,
      "^spec/lua/columns_spec.lua:%d+: columns: 2 values for 1 column")
    helper.raises(function() columns { { name = "A", format = "ip" } }("x") end, "ip: 16 bytes expected, got 1")
  end)
end)
