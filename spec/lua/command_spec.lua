-- SPDX-License-Identifier: MIT
-- bin/lua-bpf, as one calls it: real maps, pins, programs and links, and a terminal.
local bpf = require "bpf"
local commands = require "bpf.command.commands"
local helper = require "spec.helper"
local json = require "dkjson"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"
local tool = require "spec.support.command"
local map = bpf.map

local ABSENT = helper.absent()

local COMMAND, command, works, fails, decoded = tool.COMMAND, tool.command, tool.works, tool.fails, tool.decoded

describe("lua-bpf without root", function()
  it("explains itself and each of its commands", function()
    assert.matches("^Usage: lua%-bpf COMMAND", works "--help")
    for _, row in ipairs(commands) do
      local name = row[1]
      assert.matches("^Usage: lua%-bpf " .. name .. " ?[^\n]*\n", works(name .. " --help"))
      assert.matches("\n  " .. name .. " ", works "--help")
      assert.equal(works(name .. " --help"), works("help " .. name))
      assert.matches("\nExample: [^\n]*lua%-bpf " .. name, works(name .. " --help"))
    end
    assert.equal(works "--help", works "prog --help")
    assert.equal(tostring(bpf) .. "\n", works "--version")
  end)

  it("refuses what it doesn't understand, with exit code 2", function()
    fails(2, "^Usage: lua%-bpf COMMAND", "")
    for _, arguments in ipairs { "nothing", "maps --foo", "dump 1 2", "dump 1 --json=x", "set 1 2 3 4",
      "repl 1" } do
      fails(2, "^lua%-bpf: not [%w ]+: [^\n]+\nUsage: lua%-bpf ", arguments)
    end
    for arguments, complaint in pairs {
      ["set 1 2 3 --exist --noexist"] = "--noexist and --exist exclude each other",
      ["dump 1 --limit 0"] = "--limit takes a whole number above 0, not '0'",
      ["dump 1 --limit"] = "--limit takes a whole number above 0, not nothing",
      ["dump 1 --key"] = "--key takes a value, not nothing",
      ["watch 1 --interval -1"] = "--interval takes a number above 0, not '-1'",
      ["watch 1 --interval x"] = "--interval takes a number above 0, not 'x'",
      ["watch 1 --count 1.5"] = "--count takes a whole number above 0, not '1.5'",
    } do
      fails(2, "^lua%-bpf: " .. complaint:gsub("%-", "%%-") .. "\nUsage: lua%-bpf ", arguments)
    end
    fails(2, "^lua%-bpf: not understood: dmup %(near: dump%)\nUsage: ", "dmup 1")
    fails(2, "^lua%-bpf: not understood: %-%-limti %(near: %-%-limit%)\nUsage: ", "dump 1 --limti 3")
    fails(2, "^lua%-bpf: which map%?\n", "map dump")
    for arguments, word in pairs { set = "map", ["set 1"] = "key", ["set 1 2"] = "value", ["delete 1"] = "key",
      ["push 1"] = "value", pop = "map", pin = "map", ["prog pin"] = "prog", unpin = "pin" } do
      fails(2, "^lua%-bpf: which " .. word .. "%?\nUsage: lua%-bpf ", arguments)
    end
    fails(2, "^lua%-bpf: not understood: map [^\n]*\n", "map")
    fails(2, "^lua%-bpf: which map%?\n", "dump")
    fails(2, "^lua%-bpf: which map%?\n", "watch")
    fails(2, "^lua%-bpf: which script%?\n", "run")
  end)

  it("has a manual page with all commands and options", function()
    local file <close> = assert(io.open "docs/lua-bpf.1")
    local page = file:read("a"):gsub("\\%-", "-")
    local synopsis = page:match("\n%.SH SYNOPSIS\n(.-)\n%.SH ")
    for _, row in ipairs(commands) do
      assert((synopsis .. "\n"):find("lua-bpf " .. row[1] .. "\n", 1, true), row[1] .. " in the synopsis")
      local found = commands.of(row)
      local own = (synopsis .. "\n.br"):match("lua%-bpf " .. row[1]:gsub("%-", "%%-") .. "\n(.-)%.br") or ""
      for option in pairs(found.options or {}) do
        assert(page:find("--" .. option, 1, true), "--" .. option .. " in the page")
        assert(own:find("--" .. option, 1, true), "--" .. option .. " in the synopsis of " .. row[1])
        assert(found.usage:find("--" .. option, 1, true), "--" .. option .. " in the help of " .. row[1])
      end
    end
  end)

  it("runs scripts with their arguments, and says where they fail", function()
    local path = helper.tmpdir() .. "/script.lua"
    local function script(code)
      local file <close> = assert(io.open(path, "w"))
      file:write(code)
    end
    script [[print(bpf == require "bpf", arg[0]:match "[^/]+$", arg[1], arg[2], ...)]]
    assert.equal("true\tscript.lua\ta\t--help\ta\t--help\n", works("run " .. path .. " a --help"))
    script "x = 1\nlocal t\nt.x = 1"
    fails(1, "^lua%-bpf: [^\n]*script.lua:3: attempt to index a nil value[^\n]*\nstack traceback:", "run " .. path)
    script "x ="
    fails(1, "^lua%-bpf: [^\n]*script.lua:1: ", "run " .. path)
    fails(1, "^lua%-bpf: cannot open %S+/absent", "run " .. ABSENT)
  end)

  local function typed(lines)
    return (helper.run(("printf '%%s\\n' %s | %s repl"):format(helper.quote(lines), COMMAND)))
  end

  it("has a prompt that shows values, takes several lines and survives errors", function()
    assert.equal("5\n", typed "x = 5\nx")
    assert.equal('{ 1, a = "b" }\n2\n', typed '{ 1, a = "b" }, 2')
    assert.equal("1\n2\n", typed "for i = 1, 2 do\nprint(i)\nend")
    assert.equal("true\n", typed "map == bpf.map")
    assert.equal("7\n", typed "= 7")
    assert.matches("^stdin:1: boom\n1\n$", typed "error 'boom'\n1")
    assert.matches("^stdin:1: [^\n]*near '%)'\n1\n$", typed "x )\n1")
    assert.equal("1\n", typed "1\nexit\n2")
    assert.matches("^nil\n\"type '[^\n]*\n", typed "nil, \"type 'x'\"")
  end)

  it("edits lines with rlwrap at a terminal, and keeps their history", function()
    local home, path = helper.tmpdir(), helper.path_with(helper.LUA:match "[^/%s]+$")
    local prompt = ("stty cols 80; cd %s; %s -e 'x = 1' bin/lua-bpf repl"):format(helper.quote(lfs.currentdir()),
      helper.LUA)
    local output, ok = helper.run(([[
      cd %s; out=$PWD/out; >$out
      await() { for i in $(seq %d); do grep -q "$1" $out && return; sleep 0.1; done; false; }
      { await '> ' && printf 'x = 40000\n' && printf 'x + 2\n' && await 40002 && printf 'exit\n'; } |
        HOME=$PWD TERM=xterm PATH=%s:$PATH script -qefc %s $out
      status=$?; cat .lua-bpf_history; exit $status]]):format(helper.quote(home), 100 * helper.slow, path,
      helper.quote(prompt)))
    assert(ok, output)
    output = output:gsub("\27%[[%d;?]*%a", ""):gsub("\r", "")
    assert.matches("\n[> ]*40002\n", output) -- the next prompt may come before it
    assert.matches("x = 40000\nx %+ 2\nexit\n$", output)
  end)
end)

describe("lua-bpf", function()
  kernel.root()
  kernel.need("ids of links", "5.8")

  local dir = helper.bpffs()
  local ports, hits, obj, link
  local id_of = {}

  setup(function()
    ports = assert(map.create { type = "hash", name = "ports", max_entries = 30,
      key = "struct key { __u32 addr; __u16 port; __u16 pad; }",
      value = "struct val { __u64 packets; enum { OFF, ON } state; __u8 mac[2]; char name[6]; __s64 delta; }" })
    for i = 1, 3 do
      ports[{ addr = i, port = 80 }] = { packets = -i, state = i % 2, mac = "\1\xff", name = "eth" .. i, delta = -i }
    end
    hits = assert(map.create { type = "percpu_hash", name = "hits", max_entries = 99,
      key = "char[8]", value = "__u64" })
    hits.web, hits["1"] = 4, 5
    assert(map.pin(hits, dir .. "/hits"))
    obj = assert(bpf.load(helper.obj "calls", { vars = { target = helper.pid } }))
    link = assert(obj.progs.count_enter:attach())
    id_of = { ports = map.info(ports).id, hits = map.info(hits).id, prog = obj.progs.count_enter:info().id }
  end)

  teardown(function()
    map.close(ports)
    map.close(hits)
    obj:close()
  end)

  it("dumps a map by its types", function()
    assert.equal([[
addr  port  pad               packets  state  mac    name  delta
   1    80    0  18446744073709551615  ON     01 ff  eth1     -1
   2    80    0  18446744073709551614  OFF    01 ff  eth2     -2
   3    80    0  18446744073709551613  ON     01 ff  eth3     -3
]], (works("dump " .. id_of.ports):gsub("^[^\n]*\n", "")))
    assert.matches("\n… and 2 more\n$", works(("dump %d --limit 1"):format(id_of.ports)))
  end)

  it("dumps as JSON, with all digits", function()
    local value, output = decoded("dump --json " .. id_of.ports)
    assert.same({ id_of.ports, "ports", "hash", 3 }, { value.id, value.name, value.type, #value.entries })
    local states = {}
    for _, entry in ipairs(value.entries) do
      states[entry.key.addr] = entry.value.state
      assert.equal(-entry.key.addr, entry.value.delta)
      assert.same({ 1, 255 }, { entry.value.mac[1], entry.value.mac[2] })
      assert(output:find(('"packets":1844674407370955161%d,'):format(6 - entry.key.addr), 1, true), output)
    end
    assert.same({ 1, 0, 1 }, states)
    assert.equal(1, #decoded(("dump %d --json --limit 1"):format(id_of.ports)).entries)
    local per_cpu = decoded(("dump %s/hits --json --key web"):format(dir)).entries[1].value
    assert.equal(bpf.features.cpus(), #per_cpu)
    assert.equal(4, per_cpu[1])
    local empty <close> = assert(map.create { type = "hash", key = 4, value = 4, max_entries = 1 })
    assert.equal(0, #decoded("dump --json " .. map.info(empty).id).entries)
  end)

  it("dumps the keys that are asked for", function()
    assert.matches('^key    value\n"web"  { 4[^\n]*\n"1"    { 5[^\n]*\n$',
      works(("dump %s/hits --key web --key=1"):format(dir)))
    assert.matches("eth2", works(("dump %d --key '{ addr = 2, port = 80 }'"):format(id_of.ports)))
    fails(1, "^lua%-bpf: there is no key nothing\n$", ("dump %s/hits --key web --key nothing"):format(dir))
    fails(1, "^lua%-bpf: [^\n]*has no member 'colour'", ("dump %d --key '{ colour = 1 }'"):format(id_of.ports))
  end)

  it("says what isn't there or can't be shown, with exit code 1", function()
    fails(1, "^lua%-bpf: pin '/sys/fs/bpf/nothing': [^\n]*%(ENOENT%)\n$", "dump /sys/fs/bpf/nothing")
    fails(1, "^lua%-bpf: map.by_id 4294967295: [^\n]*%(ENOENT%)\n$", "dump 4294967295")
    fails(1, "^lua%-bpf: prog_info 4294967295: [^\n]*%(ENOENT%)\n$", "progs 4294967295")
    local queue <close> = assert(map.create { type = "queue", value = "__u32", max_entries = 1 })
    fails(1, "^lua%-bpf: map 'queue': maps of type queue have no keys[^\n]*\n$", "dump " .. map.info(queue).id)
    fails(1, "^lua%-bpf: [^\n]*queue[^\n]*\n$", "dump --json " .. map.info(queue).id)
    local output, _, code = command("links", "setpriv --bounding-set=-all --inh-caps=-all")
    assert.equal(1, code)
    assert.matches("^lua%-bpf: links: refused; perhaps CAP_SYS_ADMIN is missing %(EPERM%)\n$", output)
  end)

  it("finds maps by name, and lists the ids where that is ambiguous", function()
    local name = "lb" .. helper.tag
    local options = { type = "array", name = name, value = "__u32", max_entries = 1 }
    local one <close> = assert(map.create(options))
    assert.matches("\nkey  value\n  0      0\n$", works("dump " .. name))
    local two <close> = assert(map.create(options))
    fails(1, ("^lua%%-bpf: 2 maps are called '%s': ids %d, %d\n$"):format(name, map.info(one).id, map.info(two).id),
      "dump " .. name)
    fails(1, "^lua%-bpf: there is no map 'no_such_map'[^\n]*\n$", "dump no_such_map")
  end)

  -- A process of its own changes the map once the command has looked at it. Returns what the command prints.
  local function beside(code, watching)
    return helper.run(([[
      out=$(mktemp); { until [ -s $out ]; do sleep 0.02; done; %s -e %s; } & %s >$out; status=$?
      wait; cat $out; rm $out; exit $status]]):format(helper.LUA, helper.quote(
      ('local bpf = require "bpf" local m = assert(bpf.map.by_id(%d)) '):format(id_of.hits) .. code), watching))
  end

  local function watch(options)
    return ("%s watch %s/hits --interval %d %s"):format(COMMAND, dir, helper.slow, options)
  end

  it("watches what comes, goes and changes, and how fast", function()
    hits.gone = 1
    local output, ok = beside('m.web = 1000004 m.new = 1 m.gone = nil', watch "--count 3")
    assert(ok, output)
    local first = output:match("^(.-\n)\nbpf.map: hits ")
    assert.matches('\n  web +%d+\n', first)
    assert.matches('\n%- +gone +%d+\n', output)
    assert.matches('\n%+ +new +%d+\n', output)
    assert.matches('\n~ +web +%d+ +%+[%d.]+[kM]\n', output)
    assert.matches('\n +1 +%d+\n', output)
    assert.falsy(output:find("\27", 1, true)) -- it isn't a terminal
    map.delete(hits, "new")
  end)

  it("watches as JSON, an object in a line for each display", function()
    hits.gone, hits.new = 1, nil
    local output, ok = beside('m.web = 9 m.new = 1 m.gone = nil', watch "--count 3 --json")
    assert(ok, output)
    local changes = {}
    for line in output:gmatch "[^\n]+" do
      local display = assert(json.decode(line))
      assert(display.time > 1e9)
      for _, entry in ipairs(display.entries) do
        changes[entry.key .. " " .. (entry.change or "")] = entry.value
      end
    end
    local cpus = bpf.features.cpus()
    assert.same({ cpus, cpus, 9 * cpus, true }, { changes["gone deleted"], changes["new new"], changes["web changed"],
      changes["web "] ~= nil })
    map.delete(hits, "new")
    hits.web = 4
  end)

  it("colours changes on a terminal and draws over what it drew, unless NO_COLOR is set", function()
    local function on_terminal(variables)
      hits.web = 4
      local output, ok = beside("m.web = 5", variables .. " TERM=xterm script -qec " .. helper.quote(
        "stty cols 90 rows 20; " .. watch "--count 3") .. " /dev/null")
      assert(ok, output)
      return output
    end
    local output = on_terminal ""
    assert.matches("\27%[%d+A\27%[J", output)
    assert.matches('\27%[33m~ +web [^\r\n]*\27%[0m\r\n', output)
    output = on_terminal "NO_COLOR=1"
    assert.matches("\27%[%d+A\27%[J", output)
    assert.matches('\n~ +web ', output)
    assert.falsy(output:find("\27[33m", 1, true))
  end)

  it("shows what changed first where not all fits, and how much is left out", function()
    local output, ok = beside("m.web = 77", watch "--count 3 --limit 1")
    assert(ok, output)
    assert.matches('\n~ +web [^\n]*\n… and 1 more\n', output)
  end)

  it("fails when its output is lost, whatever the command and however long the output is", function()
    local big <close> = assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 3000 })
    for i = 1, 3000 do
      big[i] = i
    end
    local id = map.info(big).id
    local script = helper.tmpdir() .. "/script.lua"
    helper.run("echo 'for i = 1, 9 do print(i) end' >" .. script)
    for _, arguments in ipairs { "--help", "--version", "help dump", "maps --help", "maps", "maps --json",
      "progs " .. id_of.prog, "links " .. link:info().id, "dump " .. id_of.ports, "dump --json " .. id_of.ports,
      "dump " .. id, "dump --json " .. id, "dump --key 1 " .. id, "watch --count 1 " .. id, "run " .. script,
      "repl <" .. script } do
      fails(1, "^lua%-bpf: write: No space left on device", arguments .. " >/dev/full")
    end
  end)

  it("ends in silence when nobody reads its output", function()
    local big <close> = assert(map.create { type = "array", value = "__u64", max_entries = 10000 })
    local id = map.info(big).id
    for _, arguments in ipairs { "dump " .. id, "dump --json " .. id, "watch --limit 9000 " .. id } do
      for _, signal in ipairs { "--default-signal=PIPE", "--ignore-signal=PIPE" } do
        local output = helper.run(("{ env %s %s; echo $? >&2; } | head -c 1 >/dev/null"):format(signal,
          tool.COMMAND .. arguments))
        assert.equal("141\n", output, arguments)
      end
    end
  end)

  it("shows the ids of maps within maps", function()
    local inner = { type = "array", max_entries = 1, value = "__u32" }
    local outer <close> = assert(map.create { type = "array_of_maps", max_entries = 2, inner = inner })
    local one <close> = assert(map.create(inner))
    outer[0] = one
    local id, inside = map.info(outer).id, map.info(one).id
    assert.matches(("\n *0 +%d\n$"):format(inside), works("dump " .. id))
    assert.matches(("\n *0 +%d\n$"):format(inside), works("dump --key 0 " .. id))
    assert.matches(("\n +0 +%d\n$"):format(inside), works("watch --count 1 " .. id))
    assert.equal(inside, decoded("dump --json " .. id).entries[1].value)
    assert.equal(inside, decoded("dump --json --key 0 " .. id).entries[1].value)
  end)

  it("finds maps by names that are longer than the kernel keeps", function()
    local name = ("lb%s_and_much_more"):format(helper.tag)
    local long <close> = assert(map.create { type = "array", name = name, value = "__u32", max_entries = 1 })
    assert.matches("\nkey  value\n  0      0\n$", works("dump " .. name))
    assert.matches("\nkey  value\n  0      0\n$", works("dump " .. name:sub(1, 15)))
    assert.matches(("^ *ID [^\n]*\n *%d "):format(map.info(long).id), works("maps " .. name))
    fails(1, "there is no map", "dump " .. name:sub(1, 14))
  end)

  it("takes nothing for gone or new that a look at a large map hasn't come to", function()
    local big <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 40000 })
    local entries = {}
    for i = 1, 20000 do
      entries[i] = i
    end
    assert(map.update_batch(big, entries))
    local output = helper.run(([[
      out=$(mktemp); env --default-signal=INT %s watch --count %d --interval 1 %d >$out & pid=$!
      until [ -s $out ]; do kill -0 $pid || break; sleep 0.02; done
      %s -e %s
      until [ $(grep -c '^-' $out) -gt 100 ]; do kill -0 $pid || break; sleep 0.1; done
      kill -INT $pid; wait $pid
      grep -c '^+' $out; grep -o '^-.*' $out; rm $out]]):format(COMMAND, 60 * helper.slow, map.info(big).id, helper.LUA,
      helper.quote(([[
        local map = require("bpf").map
        local m, entries = assert(map.by_id(%d)), {}
        for i = 20001, 25000 do entries[i] = 1 end
        assert(map.update_batch(m, entries))
        for i = 1, 20000, 2 do m[i] = nil end]]):format(map.info(big).id))))
    local new, gone = output:match "^(%d+)\n(.*)$"
    assert.equal("0", new, output)
    local n = 0
    for key in gone:gmatch "[^\n]+" do
      n = n + 1
      assert.equal(1, tonumber(key:match "%d+") % 2, key)
    end
    assert(n > 100, output)
  end)

  it("ends on Ctrl-C and SIGTERM without a word", function()
    local looked = helper.tmpdir() .. "/looked"
    local output, _, code = helper.interrupt(watch "")
    assert.equal(0, code, output)
    assert.falsy(output:find("interrupted", 1, true))
    -- The signal may also be sent to it alone, as service managers do.
    for _, signal in ipairs { "INT", "TERM" } do
      local printed, _, status = helper.run(([[
        env --default-signal=INT,TERM %s >%s & until [ -s %s ]; do sleep 0.02; done; kill -%s $!; wait $!]]):format(
        watch "--count 1000", looked .. signal, looked .. signal, signal))
      assert.equal(0, status, printed)
    end
    local script = helper.tmpdir() .. "/loop.lua"
    helper.run(("echo 'io.open(%q, \"w\"):close() while true do end' > %s"):format(looked .. "-script", script))
    output, _, code = helper.interrupt(COMMAND .. " run " .. script, "[ -e " .. looked .. "-script ]")
    assert.equal(130, code, output)
    assert.equal("", output)
  end)

  it("sees the module's maps at the prompt", function()
    local output = helper.run(("echo 'map.by_id(%d)' | %s repl"):format(id_of.ports, COMMAND))
    assert.matches("^bpf.map: ports %(hash, .*\naddr  port ", output)
  end)
end)
