-- SPDX-License-Identifier: MIT
-- Bodies and programs that are written in bpftrace's language: what is said, and the same in Lua.
local habits = require "bpf.trace.habits"

describe("a body in bpftrace's language", function()
  -- { as bpftrace has it, in Lua, what is said of it }
  local BODIES <const> = {
    { "{ @[comm] = count(); }", "count(comm)", "braces" },
    { "@x = count()", "x = count()", "no '@'" },
    { "@x[comm, pid] = lhist(args.ret, 0, 9, 3);", "x = lhist(args.ret, 0, 9, 3, comm, pid)", "no '@'" },
    { "/pid == 1 && tid != 3/ { @ = hist(args->ret); }",
      "if pid == 1 and tid ~= 3 then hist(args.ret) end", "slashes" },
    { "/@start[tid]/ count()", "if start[tid] then count() end", "slashes" },
    { "@start[tid] = nsecs", "start[tid] = nsecs", "no '@'" },
    { "delete(@start[pid, tid])", "start[{pid, tid}] = nil", "no '@'" },
    { "print(@x); clear(@x);", "print(x) clear(x)", "no '@'" },
    { "$x = 3; $x = $x + 1; printf(\"$x @y\\n\", $x)", "local x = 3 x = x + 1 printf(\"$x @y\\n\", x)", "no '%$'" },
    { "printf(\"it's {%s}\\n\", str(args->filename));", "printf(\"it's {%s}\\n\", str(args.filename))", "'%->'" },
    { "print(args->args[0])", "print(args.args[1])", "'%->'" },
    { "@n++; @m[comm]++; @k += 3", "n = n + 1 m[comm] = (m[comm] or 0) + 1 k = k + 3", "no '@'" },
    { "if (pid == 3) { count(); } else { @x = 1; }", "if pid == 3 then count() else x = 1 end", "no '@'" },
    { "if (pid == 3) { count() }", "if pid == 3 then count() end", "if … then … end" },
    { "if (!@s[tid]) { return; }", "if not s[tid] then return end", "no '@'" },
    { "if pid == 3 || tid != 4 then count() end", "if pid == 3 or tid ~= 4 then count() end", "'!='" },
    { "x = pid == 1 ? 2 : 3", "x = pid == 1 and 2 or 3", "a %? b : c" },
    { "@ns[comm] = hist((nsecs - @s[tid]) / 1000)", "ns = hist((nsecs - s[tid]) // 1000, comm)", "no '@'" },
    { "// a comment", "-- a comment", "'//' divides" },
    { "count(); // a comment", "count() -- a comment", "'//' divides" },
    { "/* a comment */ count()", "count()", "'/%*'" },
    { "time(\"%H:%M\\n\"); @n++;", "printf(\"%s\", time(\"%H:%M\\n\")) n = n + 1", "no '@'" },
    { "print(strftime(\"%T\", nsecs), args->fd)", "print(time(\"%T\"), args.fd)", "'%->'" },
    { "unroll (3) { @n++; }", "for i = 1, 3 do n = n + 1 end", "no '@'" },
  }

  for _, row in ipairs(BODIES) do
    it("is told of, with Lua in its place: " .. row[1], function()
      assert.equal(row[2], habits.rewritten(row[1]))
      local told = habits.told(row[1])
      assert.matches(row[3], told)
      assert.equal(". In Lua: " .. row[2], told:sub(-#row[2] - #". In Lua: "))
    end)
  end

  it("is told of without Lua, where none comes of it", function()
    assert.equal("'->' is '.' in Lua", habits.told "print(((struct sock *)arg0)->sk_family)")
    assert.is_nil(habits.told "print(")
    assert.is_nil(habits.told "x = '@ && $'")
  end)
end)

describe("a program in bpftrace's language", function()
  local PROGRAMS <const> = {
    ['tracepoint:syscalls:sys_enter_openat { printf("%s it\'s {\\n", comm) }'] =
      [[tracepoint:syscalls:sys_enter_openat 'printf("%s it'\''s {\n", comm)']],
    ["tracepoint:syscalls:sys_exit_read /pid == 18644/ { @bytes = hist(args.ret); }"] =
      "tracepoint:syscalls:sys_exit_read 'if pid == 18644 then bytes = hist(args.ret) end'",
    ["kprobe:vfs_read{@s[tid] = nsecs;} kretprobe:vfs_read /@s[tid]/ {@ns = hist(nsecs - @s[tid]); delete(@s[tid]);}"] =
      "kprobe:vfs_read 's[tid] = nsecs' "
        .. "kretprobe:vfs_read 'if s[tid] then ns = hist(nsecs - s[tid]) s[tid] = nil end'",
    ["kprobe:x, kprobe:y { @[comm] = count(); }\ninterval:ms:1500 { print(@); clear(@); } END { clear(@); }"] =
      "kprobe:x,kprobe:y 'x = count(comm)' 'every 1.5' 'print(x) clear(x)' end 'clear(x)'",
    ['BEGIN { printf("hello\\n"); exit(); }'] = [[begin 'printf("hello\n") exit()']],
    ["uprobe:/bin/bash:readline { count() }"] = "uprobe:/bin/bash:readline 'count()'",
    ["interval:s:1 { exit(); }"] = "interval:s:1 'exit()'",
  }

  for program, line in pairs(PROGRAMS) do
    it("is a line of probes and bodies: " .. program, function() assert.equal(line, habits.line(program)) end)
  end

  it("is nothing that has no probes", function()
    for _, text in ipairs { "count(comm)", "t = { a }", "count{ pid }", "tracepoint/a/b",
      "kprobe:x { count() } more", "" } do
      assert.is_nil(habits.line(text))
    end
  end)
end)
