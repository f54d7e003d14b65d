-- SPDX-License-Identifier: MIT
-- Addresses of processes: debug files, inlined functions, lines, names of C++ and Rust, namespaces, run-time compilers,
-- and files that change or are hostile.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local readers = require "spec.support.readers"

-- The program, compiled once, with and without what debug files have; in a folder of its own.
local dir

local function run(command)
  local output, ok = helper.run(("cd %s && %s"):format(dir, command))
  assert(ok, output)
  return output
end

setup(function()
  dir = helper.tmpdir()
  helper.write(dir .. "/shop.cc", helper.read "spec/support/shop.cc")
  run "g++ -O2 -g -Wl,--build-id -o full shop.cc && cp full stripped && strip stripped"
  run "objcopy --only-keep-debug full shop.debug && cp stripped linked && objcopy --add-gnu-debuglink=shop.debug linked"
end)

local ADD <const> = "shop::Cart<long>::add(long)"

-- The frames of the mark in a process that runs, as text with lines.
local function frames_of(symbols, command)
  local numbers, stop = readers.start(command)
  local text = symbols.stack(nil, { numbers[2] }, numbers[1], { lines = true })
  stop()
  return (text:gsub("%+0x%x+", ""):gsub("%S*/", ""))
end

local INLINED <const> = [[
innermost (NAME) at shop.cc:25 [inlined]
middle (NAME) at shop.cc:31 [inlined]
shop::Cart<long>::add(long) (NAME) at shop.cc:37]]

local function inlined(name)
  return (INLINED:gsub("NAME", name))
end

-- A name of Rust's in which each tuple has the one before it twice: its text would have 2^30 parts.
local function endless()
  local digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
  local name, last = "INvC1a1bTaaE", 8
  for _ = 1, 30 do
    local high, low = (last - 1) // 62, (last - 1) % 62
    local reference = ("B%s%s_"):format(high > 0 and digits:sub(high + 1, high + 1) or "", digits:sub(low + 1, low + 1))
    last, name = #name, name .. "T" .. reference:rep(2) .. "E"
  end
  return "_R" .. name .. "E"
end

describe("with bpf.dwfl, addresses of processes", function()
  local symbols = readers.dwfl

  setup(function()
    if not symbols then
      helper.skip "bpf.dwfl was not built"
    end
  end)

  it("have inlined functions as frames of their own, with lines", function()
    assert.equal(inlined "full", frames_of(symbols, dir .. "/full"))
    local numbers, stop = readers.start(dir .. "/full")
    finally(stop)
    local known = assert(symbols.process(numbers[1]))
    local name, offset, path = known:find(numbers[2])
    assert.same({ ADD, dir .. "/full" }, { name, path })
    assert.equal("shop;[unknown];" .. ADD .. ";middle;innermost 7",
      symbols.stack(nil, { numbers[2], 16 }, known, { folded = true, comm = "shop", count = 7 }))
    local frames = symbols.frames(nil, { numbers[2] }, known)
    assert.equal(3, #frames)
    assert.same({ "innermost", true, nil, 25 }, { frames[1].name, frames[1].inlined, frames[1].offset, frames[1].line })
    assert.same({ ADD, nil, offset }, { frames[3].name, frames[3].inlined, frames[3].offset })
    assert.matches("/shop%.cc$", frames[1].source)
    assert.matches("^%x+$", frames[1].mapping.build_id)
  end)

  it("have names without their versions", function()
    run [[name=$(nm full | awk '$3 ~ /3add/ { print $3 }') &&
      objcopy --redefine-sym "$name=$name@@SHOP_1.0" full versioned && nm versioned | grep -q @@SHOP_1.0]]
    assert.equal(inlined "versioned", frames_of(symbols, dir .. "/versioned"))
  end)

  it("have names of Rust without its escapes and hashes", function()
    local numbers, stop = readers.start(dir .. "/full")
    finally(stop)
    local known = assert(symbols.process(numbers[1]))
    assert.equal("<shop::Cart as core::fmt::Debug;>::fmt", (known:find(numbers[4])))
    assert.equal("<shop::Cart as core::fmt::Debug:>::fmt", symbols.stack(known, { numbers[4] }, true))
  end)

  it("have names of Rust's newer scheme as in the source, and keep those that mean nothing", function()
    local names = {
      _RNvMNtCs4Jz2Mtfmu5I_1v4shopINtB2_4CartmE3addB4_ = "<v::shop::Cart<u32>>::add",
      _RNvXs_NtCs4Jz2Mtfmu5I_1v4shopINtB4_4CartmENtB4_5Price5total = "<v::shop::Cart<u32> as v::shop::Price>::total",
      _RNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0Cs4Jz2Mtfmu5I_1v = "std::rt::lang_start::<()>::{closure#0}",
      _RINvNtC1a4shop3arrKj3_Klna_Kb1_Kc78_E = "a::shop::arr::<3, -10, true, 'x'>",
      _RINvC1a1fAhj3_SRL_eQTmEOPFUKCmEuDNtB2_1Tp1OmEL_Fyzu7wgv_9_dgE = "",
      _RINvC1a1fFUKCmEuDNtB2_1Tp1OmEL_TmERL_eOhE = "a::f::<unsafe extern \"C\" fn(u32), dyn a::T<O = u32>, (u32,), "
        .. "&str, *mut u8>",
      _RNvC1a1b = "a::b", _RNvC1ae = "", _RNvB_1b = "", _RC9a = "", _RINvC1a1fKlA_E = "",
      [endless()] = "",
    }
    local list, text = {}, {}
    for name in pairs(names) do
      list[#list + 1] = name
    end
    table.sort(list)
    for i, name in ipairs(list) do
      text[i] = ("int f%d(void) __asm__(\"%s\");\nint f%d(void) { return %d; }\n"):format(i, name, i, i)
    end
    helper.write(dir .. "/names.c", table.concat(text))
    run "gcc -O1 -shared -fPIC -o names.so names.c"
    local handle = assert(require "bpf.dwfl".open(assert(io.open(dir .. "/names.so", "rb"))))
    local places = run "nm names.so"
    for _, name in ipairs(list) do
      local place = math.tointeger(tonumber(places:match("(%x+) T " .. name .. "\n"), 16))
      local expected = names[name] ~= "" and names[name] or name
      assert.equal(expected, handle:frames(place)[1].name)
    end
  end)

  it("have what a debug file says, which the file's link names", function()
    run "rm -rf l && mkdir -p l/.debug && cp linked l/linked"
    assert.matches("^0x%x+ %(linked%)$", frames_of(symbols, dir .. "/l/linked"))
    run "rm l/linked && cp linked l/second && cp shop.debug l"
    assert.equal(inlined "second", frames_of(symbols, dir .. "/l/second"))
    run "mv l/shop.debug l/.debug && rm l/second && cp linked l/third"
    assert.equal(inlined "third", frames_of(symbols, dir .. "/l/third"))
  end)

  it("have nothing from a debug file of another build, or of the same name that is none", function()
    run [[rm -rf o && mkdir o && cp linked o/linked && sed 's/return 1;/return 3;/' shop.cc >o/shop.cc &&
      g++ -O2 -g -Wl,--build-id -o o/other o/shop.cc && objcopy --only-keep-debug o/other o/shop.debug]]
    assert.matches("^0x%x+ %(linked%)$", frames_of(symbols, dir .. "/o/linked"))
    run "rm o/linked o/shop.debug && cp linked o/fifo && mkfifo o/shop.debug"
    assert.matches("^0x%x+ %(fifo%)$", frames_of(symbols, dir .. "/o/fifo"))
  end)

  it("have what a debug file in the process's own root says, by the build id", function()
    kernel.root()
    run "g++ -O2 -g -static -Wl,--build-id -o static shop.cc && rm -rf root && mkdir -p root/usr/bin"
    local id = run("readelf -n static"):match "Build ID: (%x+)"
    local place = ("root/usr/lib/debug/.build-id/%s"):format(id:sub(1, 2))
    run(("mkdir -p %s && objcopy --only-keep-debug static root/real"):format(place))
    run(("ln -s /real %s/%s.debug && strip -o root/usr/bin/shop static"):format(place, id:sub(3)))
    assert.equal(inlined "shop", frames_of(symbols, ("chroot %s/root /usr/bin/shop"):format(dir)))
  end)

  it("have the checksum's debug file, where there is no build id", function()
    run [[rm -rf c && mkdir c && g++ -O2 -g -Wl,--build-id=none -o c/full shop.cc &&
      objcopy --only-keep-debug c/full c/shop.debug && strip -o c/linked c/full &&
      cd c && objcopy --add-gnu-debuglink=shop.debug linked]]
    assert.equal(inlined "linked", frames_of(symbols, dir .. "/c/linked"))
    run "cp c/linked c/second && echo >>c/shop.debug"
    assert.matches("^0x%x+ %(second%)$", frames_of(symbols, dir .. "/c/second"))
  end)

  it("have lines where the compiler wrote no .debug_aranges", function()
    run "clang++ -O2 -g -o clang shop.cc 2>/dev/null || cp full clang"
    assert.matches("middle.- %(clang%) at shop.cc:31 %[inlined%]", frames_of(symbols, dir .. "/clang"))
  end)
end)

for _, reader in ipairs(readers.names) do
  local symbols = readers[reader]

  describe(("addresses of processes (%s)"):format(reader), function()
    it("have the names of the file that is mapped, whatever is at its path now", function()
      kernel.root()
      run "cp -f full replaced"
      local numbers, stop = readers.start(dir .. "/replaced")
      finally(stop)
      run "rm replaced && cp stripped replaced"
      local known = assert(symbols.process(numbers[1]))
      assert.matches("Cart.*add", (known:find(numbers[2])))
      assert.equal(dir .. "/replaced", select(3, known:find(numbers[2])))
    end)

    it("have no names of a new file at the path, where the mapped one can't be opened", function()
      kernel.root()
      run "cp -f full replaced"
      local unable = "setpriv --bounding-set=-all --inh-caps=-all " -- root without capabilities
      local numbers, stop = readers.start(unable .. dir .. "/replaced")
      finally(stop)
      local script = helper.write(dir .. "/look.lua", ([[
        %s
        local symbols = require("bpf").symbols
        print((assert(symbols.process(%d)):find(%d)))]]):format(
        reader == "plain" and "package.preload['bpf.dwfl'] = function() error() end" or "", numbers[1], numbers[2]))
      local look = ("%s %s %s"):format(unable, helper.LUA, script)
      assert.matches("Cart.*add", (helper.run(look)))
      run "cp -f full second && mount --bind second replaced"
      finally(function()
        run "umount replaced"
        stop()
      end)
      assert.equal("nil\n", (helper.run(look)))
    end)

    it("have names in another mount namespace", function()
      kernel.root()
      run "mkdir -p hidden && cp full hidden-full"
      local numbers, stop = readers.start(("unshare -m sh -c 'mount -t tmpfs none %s/hidden && " ..
        "cp %s/full %s/hidden/inside && exec %s/hidden/inside'"):format(dir, dir, dir, dir))
      finally(stop)
      assert.is_nil(io.open(dir .. "/hidden/inside"))
      local name, _, path = assert(symbols.process(numbers[1])):find(numbers[2])
      assert.matches("Cart.*add", name)
      assert.equal(dir .. "/hidden/inside", path)
    end)

    it("have names from the perf map of the process's own root, by its own number", function()
      kernel.root()
      local numbers, stop = readers.start(("sh -c 'echo $$; exec unshare -m --pid --fork " ..
        "sh -c \"exec 3<%s/full; mount -t tmpfs none /tmp; exec /proc/self/fd/3 x\"'"):format(dir))
      finally(stop)
      local outer = helper.await(10, "the process", function()
        for pid in helper.run("ls /proc"):gmatch "%f[^\n\0](%d+)\n" do
          local file <close> = io.open("/proc/" .. pid .. "/status")
          local text = file and file:read "a"
          if text and math.tointeger(tonumber(text:match "\nPPid:%s+(%d+)")) == numbers[1] then
            return math.tointeger(tonumber(pid))
          end
        end
      end)
      local code = helper.await(10, "the map", function()
        for line in io.lines(("/proc/%d/maps"):format(outer)) do
          local from = line:match "^(%x+)%-%x+ r%-xp 00000000 00:00 0%s*$"
          if from and io.open(("/proc/%d/root/tmp/perf-1.map"):format(outer)) then
            return math.tointeger(tonumber(from, 16))
          end
        end
      end)
      local known = assert(symbols.process(outer))
      assert.same({ "jitted_function", 2 }, { known:find(code + 2) })
      assert.equal("second [x]:?[2J;jitted_function", symbols.stack(known, { code, code + 0x41 }, true))
      assert.is_nil(known:find(code + 0x50))
    end)

    it("have no name where a pipe is in the place of the perf map", function()
      kernel.root()
      local numbers, stop = readers.start(dir .. "/full")
      local path = ("/tmp/perf-%d.map"):format(numbers[1])
      finally(function()
        os.remove(path)
        stop()
      end)
      assert(os.execute("mkfifo " .. path))
      assert.is_nil(assert(symbols.process(numbers[1])):find(numbers[3]))
    end)

    it("have no name once the process has ended and its file is gone", function()
      run "cp full gone"
      local numbers, stop = readers.start(dir .. "/gone")
      local known = assert(symbols.process(numbers[1]))
      stop()
      run "rm gone"
      local name, offset, path = known:find(numbers[2])
      assert.is_nil(name)
      assert.is_true(offset > 0)
      assert.equal(dir .. "/gone", path)
      assert.matches("^0x%x+ %(gone%)\n0x10$", symbols.stack(nil, { numbers[2], 16 }, known))
      assert.equal("[gone]", symbols.stack(known, { numbers[2] }, true))
      assert.equal("[unknown];[unknown]", symbols.stack(nil, { numbers[2], 16 }, numbers[1], true))
    end)

    it("survive damaged files", function()
      local whole = helper.read(dir .. "/full")
      local size, seed = #whole, 12345
      for round = 1, 40 do
        local bytes = { whole:byte(1, 4096) }
        for _ = 1, round do
          seed = (seed * 1103515245 + 12345) & 0x7fffffff
          bytes[seed % #bytes + 1] = seed >> 8 & 255
        end
        local path = helper.write(dir .. "/damaged", string.char(table.unpack(bytes)) .. whole:sub(4097, size - round))
        local file <close> = assert(io.open(path, "rb"))
        local handle = reader == "dwfl" and require("bpf.dwfl").open(file)
          or reader == "plain" and require("bpf.symbols.elf").open(file)
        for offset = 0, handle and size or -1, 97 do
          handle:frames(offset)
        end
      end
    end)
  end)
end

describe("stacks", function()
  local symbols = readers.dwfl or readers.plain

  it("join the kernel's and the process's", function()
    kernel.root()
    local numbers, stop = readers.start "build/support/sleeper"
    finally(stop)
    local address
    for line in io.lines "/proc/kallsyms" do
      address = address or line:match "^(%x+) T vfs_read$"
    end
    address = math.tointeger(tonumber(address, 16))
    local user = { numbers[3], numbers[2] + 1 }
    assert.equal("vfs_read+0x4\nsleeper_local (sleeper)\nsleeper_global+0x1 (sleeper)",
      symbols.stack({ address + 4 }, user, numbers[1]))
    assert.equal("my_cat;sleeper_global;sleeper_local;vfs_read_[k] 3", symbols.stack({ address + 4 }, user,
      assert(symbols.process(numbers[1])), { folded = true, comm = "my cat", count = 3 }))
    assert.equal("vfs_read_[k]", symbols.stack({ address }, nil, nil, true))
    assert.equal("", symbols.stack(nil, nil, nil))
    local frames = symbols.frames({ address + 4 }, user, numbers[1])
    assert.same({ "vfs_read", 4, true, "[kernel.kallsyms]" },
      { frames[1].name, frames[1].offset, frames[1].kernel, frames[1].mapping.path })
    assert.same({ numbers[2] + 1, "sleeper_global" }, { frames[3].address, frames[3].name })
  end)

  it("look for callers where they call, since what they call may not return", function()
    local numbers, stop = readers.start "build/support/sleeper"
    finally(stop)
    local known = assert(symbols.process(numbers[1]))
    local frames = symbols.frames(nil, { numbers[2], numbers[2] + 1 }, known)
    assert.same({ "sleeper_global", 0, "sleeper_global", 1 },
      { frames[1].name, frames[1].offset, frames[2].name, frames[2].offset })
  end)

  it("refuse other arguments, and name them", function()
    helper.raises(function() symbols.stack "x" end, "bad argument #1 to 'stack' %(table expected, got string%)")
    helper.raises(function() symbols.stack(nil, 1) end, "bad argument #2 to 'stack' %(table expected, got number%)")
    helper.raises(function() symbols.stack(nil, { "x" }) end,
      "^spec.*bad argument #2 to 'stack' %(address 1 must be an integer, got string%)")
    local known = symbols.process(helper.pid)
    helper.raises(function() symbols.stack(known, { 1.5 }) end, "^spec.*bad argument #2 to 'stack' %(address 1")
    helper.raises(function() symbols.stack(nil, nil, "x") end, "bad argument #3 to 'stack' %(a pid or what")
    helper.raises(function() symbols.stack(nil, nil, nil, { fold = true }) end, "option 'fold' is unknown")
    helper.raises(function() symbols.stack(nil, nil, nil, { count = "1" }) end, "option 'count' must be a integer")
    helper.raises(function() symbols.frames(1) end, "bad argument #1 to 'frames'")
    helper.raises(function() symbols.frames(nil, nil, {}) end, "bad argument #3 to 'frames'")
  end)

  it("leave no descriptor and no mapping behind", function()
    local before = helper.descriptors()
    local numbers, stop = readers.start(dir .. "/full")
    for _ = 1, 5 do
      local known = assert(symbols.process(numbers[1]))
      known:find(numbers[2])
    end
    stop()
    collectgarbage()
    collectgarbage()
    assert.equal(before, helper.descriptors())
    assert.is_nil(helper.read("/proc/self/maps"):find(dir .. "/full", 1, true))
  end)
end)
