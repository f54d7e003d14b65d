-- lua-bpf completion: what shells offer, by asking the shells.
local bpf = require "bpf"
local commands = require "bpf.command.commands"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"
local tool = require "spec.support.command"

local map = bpf.map
local works, fails = tool.works, tool.fails

-- A folder with the files by which shells load the completion, and a command lua-bpf.
local function installed()
  local dir = helper.tmpdir()
  helper.run(("cp build-aux/lua-bpf.bash %s/lua-bpf.bash; cp build-aux/lua-bpf.zsh %s/_lua-bpf"):format(dir, dir))
  helper.write(dir .. "/lua-bpf", ("#!/bin/sh\ncd %s && exec %s \"$@\"\n"):format(
    helper.quote(lfs.currentdir()), tool.COMMAND))
  helper.run("chmod +x " .. dir .. "/lua-bpf")
  return dir
end

-- What bash offers for the last of the words, in order and separated by spaces.
local function offers(dir, ...)
  local words = {}
  for i, word in ipairs { "lua-bpf", ... } do
    words[i] = helper.quote(word)
  end
  local output, ok = helper.run(("PATH=%s:$PATH bash --norc -c %s"):format(dir, helper.quote(([[
    compopt() { :; }
    source %s/lua-bpf.bash
    COMP_WORDS=(%s) COMP_CWORD=%d
    "$(complete -p lua-bpf | sed 's/.*-F \([^ ]*\) .*/\1/')" lua-bpf
    echo "${COMPREPLY[*]}"]]):format(dir, table.concat(words, " "), #words - 1))))
  assert(ok, output)
  return (output:gsub("\n$", ""))
end

describe("lua-bpf completion", function()
  it("prints scripts that the shells can read", function()
    for _, shell in ipairs { "bash", "zsh" } do
      local path = helper.write(helper.tmpdir() .. "/script", works("completion " .. shell))
      assert.equal("", (helper.run(("%s -n %s"):format(shell, path))))
    end
    fails(2, "^lua%-bpf: which shell%?\n", "completion")
    fails(2, "^lua%-bpf: not understood: fish\n", "completion fish")
  end)

  it("offers every command and every option", function()
    local dir = installed()
    local first, others = " " .. offers(dir, "") .. " ", {}
    for _, row in ipairs(commands) do
      local one, two = row[1]:match "^(%S+) ?(.*)$"
      assert(first:find(" " .. one .. " ", 1, true), row[1])
      if two ~= "" then
        others[one] = others[one] or " " .. offers(dir, one, "") .. " "
        assert(others[one]:find(" " .. two .. " ", 1, true), row[1])
      end
    end
    for _, row in ipairs(commands) do
      local words = {}
      for word in row[1]:gmatch "%S+" do
        words[#words + 1] = word
      end
      words[#words + 1] = "--"
      local offered = " " .. offers(dir, table.unpack(words)) .. " "
      for option in pairs(commands.of(row).options or {}) do
        assert(offered:find(" --" .. option .. " ", 1, true), row[1] .. " --" .. option)
      end
    end
  end)

  it("offers what fits at the place", function()
    local dir = installed()
    helper.write(dir .. "/some.o", "")
    assert.equal("dump", offers(dir, "du"))
    assert.equal("--limit", offers(dir, "dump", "x", "--li"))
    assert.equal("--limit", offers(dir, "map", "dump", "--li"))
    assert.equal("", offers(dir, "dump", "--limit", ""))
    assert.equal("bash zsh", offers(dir, "completion", ""))
    assert.equal("xdp", offers(dir, "features", "xd"))
    assert.equal(dir .. "/some.o", offers(dir, "btf", "--file", dir .. "/so"))
    assert.equal(dir .. "/some.o", offers(dir, "btf", "--file", "=", dir .. "/so"))
    assert.equal(dir .. "/some.o", offers(dir, "unpin", "x", "y", dir .. "/so"))
    assert.equal(dir .. "/some.o", offers(dir, "compile", "x", "-o", dir .. "/so"))
    assert.equal(dir .. "/some.o", offers(dir, "compile", "-D", "x", dir .. "/so"))
    assert.equal("", offers(dir, "compile", "-D", dir .. "/so"))
    assert.equal("pin run", offers(dir, "prog", ""))
    assert.equal("", offers(dir, "nonsense", ""))
  end)

  it("offers the names of objects", function()
    kernel.root()
    local dir = installed()
    local name = "lb" .. helper.tag
    local m <close> = assert(map.create { type = "array", name = name, value = "__u32", max_entries = 1 })
    assert(map.info(m))
    assert.equal(name, offers(dir, "dump", name:sub(1, -2)))
    assert.equal(name, offers(dir, "maps", "other", name:sub(1, -2)))
    assert.equal(name, offers(dir, "btf", "--map", name:sub(1, -2)))
    assert.matches("\n" .. name .. "\n", "\n" .. works "completion map")
    assert.equal("", offers(dir, "dump", name, name:sub(1, -2)))
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", function() return 0 end))
    local shown = prog:info().name
    assert.matches(" " .. shown .. " ", " " .. offers(dir, "prog", "run", shown) .. " ")
  end)

  it("offers probes", function()
    kernel.root()
    local dir = installed()
    assert.equal("tracepoint/", offers(dir, "trace", "tra"))
    assert.matches("^begin .* uprobe/ ", offers(dir, "trace", ""))
    assert.matches("tracepoint/sched/ ", offers(dir, "trace", "tracepoint/sc") .. " ")
    assert.equal("tracepoint/sched/sched_process_exec", offers(dir, "list", "tracepoint/sched/sched_process_exe"))
    assert.equal("begin,software/page-faults/", offers(dir, "trace", "begin,software/page-faults/"):match "%S+/")
    assert.equal("", offers(dir, "trace", "begin", ""))
    assert.equal("tracepoint/", offers(dir, "trace", "-n", "3", "begin", "print(1)", "tra"))
    assert.equal("begin\n", works "completion probe beg")
  end)

  -- Types lines at a shell's prompt, with a tab at the end of each, and waits for what that makes of it. Returns what
  -- the command got.
  local function typed(dir, shell, start, lines)
    helper.write(dir .. "/start", start .. "\nlua-bpf() { if [ \"$1\" = completion ] && [ $# -ge 2 ]; then command " ..
      "lua-bpf \"$@\"; else echo \"got: $*\"; fi; }\necho ready\n")
    local output = helper.run(([[
      cd %s; export PATH=%s:$PATH; out=$PWD/out; >$out
      await() { for i in $(seq %d); do grep -aqe "$1" $out && return; sleep 0.05; done; false; }
      { await . && echo '. ./start' && await '^ready'
        while read -r typed completed; do
          printf '%%s\t' "lua-bpf $typed" | tr _ ' '
          await "$(echo "lua-bpf $completed" | tr _ ' ')" || break
          echo
          await "^got: $(echo "$completed" | tr _ ' ')" || break
        done; echo; echo exit; } <<'END' | TERM=dumb script -qefc %s $out >/dev/null
%s
END
      grep -a '^got' $out]]):format(dir, dir, 100 * helper.slow, helper.quote(shell), table.concat(lines, "\n")))
    return (output:gsub("\r", ""))
  end

  local LINES <const> = { "du dump", "prog_ru prog_run", "dump_x_--li dump_x_--limit",
    "trace_software/page-faults/ trace_software/page-faults/100" }
  local GOT <const> = "got: dump\ngot: prog run\ngot: dump x --limit\n" ..
    "got: trace software/page-faults/100\n"

  it("works at bash's prompt", function()
    local dir = installed()
    assert.equal(GOT, typed(dir, "bash --norc --noprofile -i", "source ./lua-bpf.bash", LINES))
  end)

  it("works at zsh's prompt", function()
    local dir = installed()
    assert.equal(GOT, typed(dir, "zsh -f -i", "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D", LINES))
  end)
end)
