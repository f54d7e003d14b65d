-- SPDX-License-Identifier: MIT
-- Names for addresses, with and without bpf.dwfl.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local readers = require "spec.support.readers"

-- The sleeper's numbers: pid, addresses of a global function, of a local one and of malloc; and what ends it.
local function sleeper()
  local numbers, stop = readers.start "build/support/sleeper"
  return numbers[1], numbers[2], numbers[3], numbers[4], stop
end

describe("the kernel's symbols", function()
  local symbols = bpf.symbols

  it("have a name for each function, with the distance from its start", function()
    kernel.root()
    local known = assert(symbols.kernel())
    local n = 0
    for line in io.lines "/proc/kallsyms" do
      local address, name = line:match "^(%x+) T (%S+)$"
      if name == "vfs_read" or name == "do_exit" then
        n = n + 1
        address = tonumber(address, 16)
        assert.same({ name, 0 }, { known:find(address) })
        assert.same({ name, 5 }, { known:find(address + 5) })
        assert.equal(name .. "+0x5", symbols.text(known, address + 5))
        assert.equal(name, symbols.text(known, address))
      end
    end
    assert.is_true(n > 0)
    assert.is_nil(known:find(0x1000))
    assert.equal("0x1000", symbols.text(known, 0x1000))
    assert.matches("^bpf.symbols: kernel, %d+ symbols$", tostring(known))
    assert.equal(known, symbols.kernel())
  end)

  it("have the names that /proc/kallsyms has, and modules", function()
    kernel.root()
    local known, last, tried = assert(symbols.kernel()), nil, 0
    for line in io.lines "/proc/kallsyms" do
      local address, name, module = line:match "^(%x+) [tTwW] (%S+)\t?%[?([^%]]*)"
      if address and address ~= last and (module ~= "" and module ~= "bpf" or tried < 5000) then
        last, tried = address, tried + 1
        local found, offset, where = known:find(math.tointeger(tonumber(address, 16)))
        if found ~= name then -- several have the address, of which another one stands first where that is sorted
          assert.equal(0, offset)
        else
          assert.same({ 0, module }, { offset, where or "" })
        end
      end
    end
    assert.is_true(tried >= 5000)
  end)

  it("say so when the kernel hides addresses", function()
    kernel.root()
    local restrict = tonumber(helper.read "/proc/sys/kernel/kptr_restrict")
    if restrict == 0 and tonumber(helper.read "/proc/sys/kernel/perf_event_paranoid") <= 1 then
      helper.skip "this system shows the kernel's addresses to everybody"
    end
    local output = helper.run("setpriv --bounding-set=-all --inh-caps=-all " .. helper.LUA .. [[ -e '
      print(require("bpf").symbols.kernel())']])
    assert.equal("nil\t/proc/kallsyms: the kernel hides its addresses; it takes root, kernel.kptr_restrict below 2 " ..
      "(EPERM)\tEPERM\n", output)
  end)
end)

for _, reader in ipairs(readers.names) do
  local symbols = readers[reader]

  describe(("a process's symbols (%s)"):format(reader), function()
    it("are those of its program and its libraries", function()
      local pid, global, localf, malloc, stop = sleeper()
      finally(stop)
      local known = assert(symbols.process(pid))
      local name, offset, path = known:find(global + 2)
      assert.same({ "sleeper_global", 2 }, { name, offset })
      assert.matches("/sleeper$", path)
      assert.equal("sleeper_local", (known:find(localf)))
      local library
      name, offset, library = known:find(malloc)
      assert.is_true(name:find "malloc" ~= nil, name)
      assert.equal(0, offset)
      assert.matches("libc", library)
      assert.equal("sleeper_global+0x2 (sleeper)", symbols.text(known, global + 2))
      assert.equal("sleeper_local (sleeper)\nsleeper_global+0x1 (sleeper)",
        symbols.stack(known, { localf, global + 1 }))
      assert.equal("[unknown];sleeper_global;sleeper_local", symbols.stack(known, { localf, global + 1, 16 }, true))
      assert.is_nil(known:find(16))
      assert.equal("bpf.symbols: process " .. pid, tostring(known))
    end)

    it("fail for a process that isn't there", function()
      local none, message, code = symbols.process(0x7ffffff0)
      assert.is_nil(none)
      assert.equal("ENOENT", code)
      assert.matches("No such file", message)
      assert.equal(1, select(2, message:gsub("/proc/2147483632/maps", "")))
      helper.raises(function() symbols.process "1" end, "integer expected, got string")
    end)

    it("have names once the process has ended, as its files are still there", function()
      local pid, global, _, _, stop = sleeper()
      local known = assert(symbols.process(pid))
      stop()
      assert.equal("sleeper_global (sleeper)", symbols.text(known, global))
    end)

    it("fail for a process that ends while they are read", function()
      local pid, _, _, _, stop = sleeper()
      local open = io.open
      -- luacheck: push ignore 122
      finally(function() io.open = open end)
      io.open = function(...)
        local file, message = open(...)
        stop()
        return file, message
      end
      -- luacheck: pop
      local none, message, code = symbols.process(pid)
      assert.is_nil(none)
      assert.equal(("/proc/%d/maps: No such process"):format(pid), message)
      assert.equal("ENOENT", code)
    end)
  end)
end

describe("the symbols of processes, asked for when no descriptor is left", function()
  it("are EMFILE, and are there once some are closed", function()
    local output = helper.lua(([[
      local symbols, held = require "bpf".symbols, {}
      repeat
        local file = io.open "/"
        held[#held + 1] = file
      until not file
      print(symbols.process(%d))
      for _, file in ipairs(held) do file:close() end
      print(symbols.process(%d))]]):format(helper.pid, helper.pid))
    assert.equal(("nil\tsymbols of process %d: Too many open files (EMFILE)\tEMFILE\nbpf.symbols: process %d\n")
      :format(helper.pid, helper.pid), output)
  end)
end)
