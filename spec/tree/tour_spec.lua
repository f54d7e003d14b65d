-- SPDX-License-Identifier: MIT
-- The README's tour, word for word: on an interface called eth0 in a network namespace of its own, until it gets a
-- signal.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

-- The first Lua block below the heading.
local function tour()
  local file = assert(io.open("README.md"))
  local text = file:read("a")
  file:close()
  return assert(text:match("\n## A tour\n.-```lua\n(.-)\n```"), "the README has no tour")
end

describe("the README's tour", function()
  kernel.root()

  for _, signal in ipairs { "INT", "TERM" } do
    it("runs, sees an exec of user 1000, and leaves nothing behind on SIG" .. signal, function()
      local dir = helper.tmpdir()
      local file = assert(io.open(dir .. "/tour.lua", "w"))
      file:write("io.stdout:setvbuf('line')\n", tour(), "\n")
      file:close()
      assert(os.execute(("cp %s %s/"):format(helper.quote(helper.obj("execsnoop")), helper.quote(dir))))
      -- a background job of a shell would ignore Ctrl-C
      local output = helper.run(([[
        cd %s && exec unshare --net bash -c '
          ip link add eth0 type veth peer name eth1
          set -m
          %s tour.lua >out 2>err &
          tour=$!
          exec 2>/dev/null
          for i in $(seq 100); do
            setpriv --reuid=1000 --regid=1000 --clear-groups /bin/true
            grep -q "true" out && break
            sleep 0.1
          done
          ip -details link show eth0 | grep -c prog/xdp
          kill -%s $tour
          wait $tour
          echo "exit $?"
          for i in $(seq %d); do
            left=$(ip -details link show eth0 | grep -c prog/xdp)
            [ $left = 0 ] && break
            sleep 0.1
          done
          echo $left
          cat out err
        ']]):format(helper.quote(dir), helper.LUA, signal, 20 * helper.slow))
      local attached, exit, left, rest = output:match("^(%d+)\nexit (%d+)\n(%d+)\n(.*)$")
      assert(attached, output)
      assert.are.equal("1", attached)
      assert.are.equal("0", exit, output)
      assert.are.equal("0", left, output) -- whoever lists links meanwhile holds one for a moment
      local lines = {}
      for line in rest:gmatch("[^\n]+") do
        lines[#lines + 1] = line
      end
      assert.are.equal("5", lines[1])
      assert.are.equal("false\tENOENT", lines[2])
      assert.are.equal("0", lines[3])
      assert.matches("^%d+\ttrue$", lines[4])
      assert.is_nil(rest:find("interrupted", 1, true))
    end)
  end
end)
