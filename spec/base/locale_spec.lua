-- SPDX-License-Identifier: MIT
-- A host or a script may have set a locale. What the library reads and writes for machines is the same in all of them:
-- the decimal point, what counts as a letter or a control character, the names of days.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local dir = helper.tmpdir()

-- Makes a locale of our own, whatever the machine has. Returns its name.
local function locale(source, charset)
  local name = ("%s.%s"):format(source, charset)
  local output, ok = helper.run(("localedef --no-archive -i %s -f %s %s/%s"):format(source, charset, dir, name))
  assert(ok, output)
  return name
end

-- A comma for a decimal point; one byte a character, with letters and control characters above 127; and a language in
-- which "I" is no capital "i". (Where the decimal point has several bytes, Lua itself reads no "0.5".)
local LOCALES <const> = { locale("de_DE", "UTF-8"), locale("de_DE", "ISO-8859-1"), locale("tr_TR", "ISO-8859-9") }

-- What Lua code prints in a locale; it finds there the module, and whether the locale does what it is here for.
local function prints(name, code)
  local output, ok = helper.run(("LOCPATH=%s LC_ALL=C %s -e %s"):format(dir, helper.LUA, helper.quote(([[
    local name = %q
    assert(os.setlocale(name), "no locale " .. name)
    assert(name == "C" or ("%%.1f"):format(1.5) ~= "1.5", name)
    local bpf = require("bpf")
  ]]):format(name) .. code)))
  assert(ok, output)
  return output
end

-- Checks that the code prints the same in every locale.
local function same(what, code)
  it("doesn't change " .. what, function()
    local expected = prints("C", code)
    for _, name in ipairs(LOCALES) do
      assert.equal(expected, prints(name, code), name)
    end
  end)
end

describe("a locale", function()
  same("JSON", [[
    print(bpf.json({ a = 1.5, b = { -0.25, 1e300, 5e-324, 1/0, 3.0, 10 }, [2.5] = "x" }))
    print(bpf.json("\u{e9}\u{80}\x01\x7f \u{20ac}"))]])

  same("metrics", [[
    local metrics = bpf.metrics.new { prefix = "demo", on_error = print }
    local t = { [0.5] = 1.5, [1.0] = 1e-9, [2.25] = 123456789.125, [3] = 2^60, [1e300] = 1/3 }
    metrics:gauge { name = "x", map = t, labels = { "number" } }
    metrics:counter { name = "y", map = { a = 1000 }, labels = { "letter" }, scale = 1e-9 }
    metrics:histogram {
      name = "z", map = { a = { 1, 2, 3 } }, labels = { "letter" }, bounds = { 0.5, 1.5 }, scale = 0.1,
    }
    for _, format in ipairs { "openmetrics", "prometheus" } do
      print((metrics:text(format):gsub("\ndemo_exporter_scrape_duration_seconds [^\n]*", "")))
    end]])

  same("the time that a scrape took", [[
    print(bpf.metrics.new():text():match("\nexporter_scrape_duration_seconds [0-9]+%.[0-9]+[e0-9-]*\n") ~= nil)]])

  same("what may be a name in metrics", [[
    local metrics = bpf.metrics.new()
    print(pcall(metrics.gauge, metrics, { name = "temp\xe9rature", value = function() return 1 end }))
    print(pcall(metrics.gauge, metrics, { name = "x", map = {}, labels = { "temp\xe9rature" } }))]])

  same("what inspect shows", [[
    bpf.inspect({ a = 1.5, b = { 0.1, "\u{e9}\u{80}" }, [0.5] = 2 })
    bpf.inspect({ ["\xe9"] = 1 })
    bpf.inspect(2.5, { width = 40 })]])

  same("numbers with units, tables and histograms", [[
    local hist = bpf.hist
    print(hist.number(1234), hist.number(0.5), hist.bytes(1536), hist.time(1500), hist.time(2.5), hist.number(1/0))
    local columns = { { name = "a" }, { name = "b" } }
    print(hist.table({ { 1.5, "\u{e9}\u{80}\x85" }, { 2.25, "b" } }, columns, { width = 60 }))
    print(hist.log2({ 1, 2, 3 }, { width = 60, utf8 = false }))
    print(hist.linear({ 1, 2.5, 3 }, { width = 60, step = 0.5, utf8 = true }))
    print(hist.line("\u{e9}\u{80}", 10, true))]])

  same("which text is C", [[
    print(pcall(bpf.btf.type, "\xe9t\xe9"))
    print(pcall(bpf.btf.type, "struct { int \xe9; }"))
    print(bpf.btf.type("struct { double INDEX; unsigned int i; }"):encode({ INDEX = 1.5, i = 7 }) ==
      string.pack("=dI4I4", 1.5, 7, 0))
    print(bpf.json(bpf.btf.type("double"):decode(string.pack("=d", 0.1))))]])

  it("doesn't change the time of what programs print", function()
    kernel.root()
    kernel.need("programs of type syscall", "5.14")
    local output = prints(LOCALES[1], ([[
      local obj <close> = assert(bpf.open(%q))
      for name, prog in pairs(obj.progs) do prog:autoload(name == "say") end
      assert(obj:load())
      local step, why, errno, stream
      repeat -- another suite may be reading the pipe
        step, why, errno, stream = bpf.printk(2000)
        if errno == "EBUSY" then os.execute("sleep 0.1") end
      until errno ~= "EBUSY"
      assert(step, why)
      local reading <close> = stream
      for _ = 1, 4 do
        assert(obj.progs.say:run { ctx = { number = 77 } })
        local text, from
        repeat text, from = step() until not text or text:find("says 77")
        print(("%%d %%06d"):format(from.time // 1, from.time %% 1 * 1000000 // 1))
      end]]):format(helper.obj("iters")))
    local fractions = select(2, output:gsub("%f[%d]%d+ %d%d%d%d%d%d\n", ""))
    assert.equal(4, fractions, output)
    assert.is_true(select(2, output:gsub(" 000000\n", "")) < 4, output) -- the kernel tells microseconds
  end)

  it("doesn't change the answers of the server", function()
    helper.require("socket", "Lua 5.4")
    for _, name in ipairs(LOCALES) do
      local output = prints(name, [[
        local metrics = bpf.metrics.new()
        metrics:gauge { name = "x", value = function() return 1.5 end }
        local path = os.tmpname()
        os.remove(path)
        local socket = require "socket"
        socket.unix = require "socket.unix"
        local client
        assert(metrics:serve { socket = path, poll = function()
          if not client then
            client = socket.unix()
            client:settimeout(0)
            client:connect(path)
            client:send("GET /metrics HTTP/1.1\r\nHOST: x\r\nACCEPT: TEXT/PLAIN;Q=0.5\r\n\r\n")
          end
          local text, _, part = client:receive("*a")
          answer = (answer or "") .. (text or part or "")
          return not text
        end, seconds = 20 })
        os.remove(path)
        io.write(answer)]])
      assert.matches("\nDate: %u%l%l, %d%d %u%l%l %d%d%d%d %d%d:%d%d:%d%d GMT\r\n", output)
      local day, month = output:match("\nDate: (%a+), %d+ (%a+)")
      assert(("Sun Mon Tue Wed Thu Fri Sat"):find(day, 1, true), day)
      assert(("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"):find(month, 1, true), month)
      assert.matches("^HTTP/1.1 200 ", output)
      assert.matches("\nx 1%.5\n", output)
    end
  end)
end)
