-- SPDX-License-Identifier: MIT
-- What this kernel lets a process use: what it says is compared with what works, with bpftool, and with a process that
-- may do nothing.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local features = bpf.features

-- Runs Lua code without any capability.
local function child(code)
  return helper.run(("setpriv --bounding-set=-all --inh-caps=-all %s -e %s"):format(helper.LUA,
    helper.quote('local features = require("bpf").features ' .. code)))
end

describe("feature arguments:", function()
  for _, case in ipairs({
    { "no map type", "string expected", function() features.map_type() end },
    { "a map type that has a typo", "map type 'hsah' is unknown %(near: hash%)",
      function() features.map_type("hsah") end },
    { "a map type with the prefix in front", "near: hash%)", function() features.map_type("bpf_map_type_hash") end },
    { "a part of map types' names", "map type 'devm' is unknown %(near: devmap, devmap_hash%)",
      function() features.map_type("devm") end },
    { "a map type that is like none", "unknown %(bpf%.features%.map_types%(%) has all%)",
      function() features.map_type("nothing like that") end },
    { "the kernel's own spelling", "map type 'HASH' is unknown", function() features.map_type("HASH") end },
    { "the type of no map", "map type 'unspec' is unknown", function() features.map_type("unspec") end },
    { "an unknown program type", "program type 'xdpp' is unknown %(near: xdp%)",
      function() features.prog_type("xdpp") end },
    { "a helper's unknown program type", "program type 'kprobes' is unknown %(near: kprobe%)",
      function() features.helper("kprobes", "map_lookup_elem") end },
    { "an unknown helper", "helper 'map_lookup_elm' is unknown %(near: map_lookup_elem%)",
      function() features.helper("xdp", "map_lookup_elm") end },
    { "a helper that is like none", "%(bpf%.features%.helpers%(prog_type%) has all%)",
      function() features.helper("xdp", "nothing like that") end },
    { "a very long name", "is unknown", function() features.helper("xdp", ("x"):rep(5000)) end },
    { "helpers of nothing", "string expected", function() features.helpers() end },
    { "helpers of an unknown type", "program type 'xpd' is unknown", function() features.helpers("xpd") end },
  }) do
    it(case[1] .. " raises", function() helper.raises(case[3], case[2]) end)
  end
end)

describe("features", function()
  it("know the kernel and its CPUs", function()
    assert.equal(kernel.release, features.kernel())
    assert.is_true(features.cpus() >= 1)
    kernel.root()
    local m <close> = assert(bpf.map.create({ type = "percpu_array", max_entries = 1, value = "__u32" }))
    assert.equal(#m[0], features.cpus())
  end)
end)

describe("cpus", function()
  it("lists possible CPUs, one for each value of a per-CPU map, and those that are online", function()
    local cpus = assert(bpf.cpus())
    assert.equal(features.cpus(), #cpus.possible)
    local is_possible = {}
    for i, cpu in ipairs(cpus.possible) do
      assert.is_true(i == 1 or cpu > cpus.possible[i - 1])
      is_possible[cpu] = true
    end
    assert.is_true(#cpus.online >= 1)
    for _, cpu in ipairs(cpus.online) do
      assert.is_true(is_possible[cpu])
    end
  end)

  -- What bpf.cpus returns where the kernel's list of online CPUs has this text.
  local function cpus_of(text)
    local path, list = helper.tmpdir() .. "/online", "/sys/devices/system/cpu/online"
    assert(io.open(path, "w")):write(text):close()
    helper.run(("mount --bind %s %s"):format(path, list))
    local cpus, message, code = bpf.cpus()
    helper.run("umount " .. list)
    return cpus, message, code
  end

  it("reads the kernel's lists", function()
    kernel.root()
    for text, expected in pairs({ ["0"] = { 0 }, ["0-2,5,8-9\n"] = { 0, 1, 2, 5, 8, 9 } }) do
      assert.same(expected, cpus_of(text).online)
    end
    for _, text in ipairs({ "", "x", "3-1", "0,", "0-99999" }) do
      helper.fails("EINVAL", "bpf.cpus", cpus_of(text))
    end
  end)

  it("says so without /sys", function()
    kernel.root()
    helper.run("mount -t tmpfs none /sys/devices/system/cpu")
    finally(function() helper.run("umount /sys/devices/system/cpu") end)
    local cpus, message, code = bpf.cpus()
    assert.same({ nil, "ENOENT" }, { cpus, code })
    assert.matches("^bpf.cpus: ", message)
  end)
end)

describe("with root's capabilities, features", function()
  kernel.root()
  kernel.need("everything below", "5.8")

  it("say yes to what works", function()
    for _, name in ipairs({ "hash", "array", "lru_hash", "lpm_trie", "queue", "ringbuf" }) do
      assert.is_true(features.map_type(name), name)
    end
    for _, case in ipairs({ -- a section of the type, and a helper; a hardened kernel may refuse the type
      { "raw_tracepoint", "raw_tp", "get_current_comm" }, { "xdp", "xdp", "map_lookup_elem" },
      { "xdp", "xdp", "redirect_map" }, { "sched_cls", "tc", "clone_redirect" },
      { "tracepoint", "tracepoint", "get_current_comm" }, { "socket_filter", "socket", "skb_load_bytes" },
      { "cgroup_sysctl", "cgroup/sysctl", "sysctl_get_name" },
    }) do
      local has = not kinds.refused(case[2])
      assert.equal(has, (features.prog_type(case[1])), case[1])
      assert.equal(has, (features.helper(case[1], case[3])), case[3])
    end
  end)

  it("say no to helpers that programs of a type can't call, and why", function()
    for _, case in ipairs({ { "xdp", "sysctl_get_name" }, { "raw_tracepoint", "redirect_map" },
      { "socket_filter", "clone_redirect" }, { "sched_cls", "override_return" } }) do
      local has, message, code = features.helper(case[1], case[2])
      assert.same({ false, "EINVAL" }, { has, code }, case[2])
      assert.equal(("helper '%s': programs of this type can't call it (EINVAL)"):format(case[2]), message)
    end
  end)

  it("can't tell for helpers where it depends on the target", function()
    for _, name in ipairs({ "tracing", "ext", "lsm", "struct_ops" }) do
      local has, message, code = features.helper(name, "map_lookup_elem")
      assert.same({ "nil", "EOPNOTSUPP" }, { type(has), code })
      assert.matches("it depends on what they attach to %(EOPNOTSUPP%)$", message)
    end
    local has, why = features.helpers("lsm")
    assert.same({}, has)
    assert.matches("depends", why.map_lookup_elem)
  end)

  it("say the same about each type as bpftool", function()
    local output = helper.run("bpftool -j feature probe kernel")
    local compared = { map = 0, prog = 0 }
    for _, kind in ipairs({ "map", "prog" }) do
      local has, why = features[kind .. "_types"]()
      for name, answer in output:gmatch('"have_([%w_]-)_' .. kind .. '_type":(%l+)') do
        if has[name] ~= nil then
          assert.equal(name .. " " .. answer, name .. " " .. tostring(has[name]))
          compared[kind] = compared[kind] + 1
        end
      end
      for name, there in pairs(has) do
        assert.equal(there, why[name] == nil)
        assert.same(table.pack(features[kind .. "_type"](name)), { there, why[name],
          why[name] and why[name]:match("%((%w+)%)$"), n = there and 1 or 3 })
      end
    end
    assert(compared.map >= 25 and compared.prog >= 25)
  end)

  it("say since when there are types that this kernel hasn't, and whether it is older", function()
    for _, types in ipairs({ features.map_types, features.prog_types }) do
      for name, message in pairs(select(2, types())) do
        local cause, since = message:match("has none; (.-) came with ([%d.]+) %(EINVAL%)$")
        if since then
          assert.equal(kernel.before(since) and "they" or "perhaps it was built without, for they", cause, name)
        end
      end
    end
  end)

  it("try map types that this libbpf may have no name for", function()
    kernel.need("arenas", "6.9")
    assert.is_true(features.map_type("arena"))
    assert.is_true(features.map_types().arena)
  end)

  it("say of each helper alone what they say of all", function()
    local has, why = features.helpers("xdp")
    local count = 0
    for name, there in pairs(has) do
      count = count + 1
      local answer, message = features.helper("xdp", name)
      assert.equal(there, answer)
      assert.equal(why[name], message)
    end
    assert(count > 200, count)
    assert.is_true(has.redirect_map)
    assert.is_false(has.sysctl_get_name)
    assert.is_nil(has.unspec)
  end)

  it("say of a type that this kernel was built without", function()
    if kernel.config("CONFIG_BPF_LIRC_MODE2") ~= "n" then
      helper.skip("CONFIG_BPF_LIRC_MODE2 is not off, or unknown")
    end
    local has, message, code = features.prog_type("lirc_mode2")
    assert.same({ false, "EINVAL" }, { has, code })
    assert.equal(("program type 'lirc_mode2': this kernel, %s, has none; perhaps it was built without, for they came "
      .. "with 4.18 (EINVAL)"):format(kernel.release), message)
    has, message, code = features.helper("lirc_mode2", "map_lookup_elem")
    assert.same({ false, "EINVAL" }, { has, code })
    assert.matches("this kernel has no programs of this type", message)
  end)

  it("say no to helpers of a type that the kernel refuses before it verifies", function()
    for _, kind in ipairs({ "17", "-17" }) do -- with the statistics of a verifier that saw nothing, and without
      local output = helper.run(("build/support/refuse %s %s -e %s"):format(kind, helper.LUA, helper.quote([[
        local features = require("bpf").features
        print(features.helper("raw_tracepoint", "map_lookup_elem"))
        print(features.helper("raw_tracepoint", "redirect_map"))
        print(features.prog_type("raw_tracepoint"))
        print(features.helper("xdp", "map_lookup_elem"))]])))
      if output:find("^refuse: Device or resource busy") then
        helper.skip("another process answers this one's seccomp filters")
      end
      local why = "refused, though this process has CAP_BPF and CAP_PERFMON; perhaps by its seccomp filter, lockdown, "
        .. "a security module or the kernel's configuration (EPERM)\tEPERM\n"
      assert.equal(("false\thelper 'map_lookup_elem': %sfalse\thelper 'redirect_map': %sfalse\tprogram type "
        .. "'raw_tracepoint': %strue\n"):format(why, why, why), output)
    end
  end)

  it("leave nothing in the kernel, and nothing open", function()
    local function held()
      return select(2, helper.run(("ls -l /proc/%d/fd"):format(helper.pid)):gsub("anon_inode", ""))
    end
    local before = held()
    features.map_types()
    features.prog_types()
    features.helpers("xdp")
    assert.equal(before, held())
  end)
end)

describe("without capabilities, features", function()
  kernel.root()

  it("say no, and which capability may be missing", function()
    local output = child([[
      print(features.map_type("lpm_trie"))
      print(features.map_type("xskmap"))
      print(features.map_type("sk_storage"))
      print(features.prog_type("xdp"))
      print(features.prog_type("kprobe"))
      print(features.helper("xdp", "map_lookup_elem"))
      print(features.helper("xdp", "sysctl_get_name"))]])
    local refused = "refused; perhaps %s is missing (EPERM)\tEPERM\n"
    assert.equal(table.concat({
      "false\tmap type 'lpm_trie': " .. refused:format("CAP_BPF"),
      "false\tmap type 'xskmap': " .. refused:format("CAP_BPF or CAP_NET_ADMIN"),
      "false\tmap type 'sk_storage': " .. refused:format("CAP_BPF"),
      "false\tprogram type 'xdp': " .. refused:format("CAP_BPF or CAP_NET_ADMIN"),
      "false\tprogram type 'kprobe': " .. refused:format("CAP_BPF or CAP_PERFMON"),
      "false\thelper 'map_lookup_elem': " .. refused:format("CAP_BPF or CAP_NET_ADMIN"),
      "false\thelper 'sysctl_get_name': " .. refused:format("CAP_BPF or CAP_NET_ADMIN"),
    }), output)
  end)

  it("list nothing that such a process can't have", function()
    local output = child([[
      for _, list in ipairs({ "map_types", "prog_types" }) do
        local has, why = features[list]()
        print(has.lpm_trie, has.xdp, (why.lpm_trie or why.xdp):match("EPERM"))
      end]])
    assert.equal("false\tnil\tEPERM\nnil\tfalse\tEPERM\n", output)
  end)

  it("print nothing of libbpf's", function()
    assert.equal("", (child([[features.map_types() features.prog_types() features.helpers("xdp")]])))
  end)
end)
