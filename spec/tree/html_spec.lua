-- SPDX-License-Identifier: MIT
-- The documentation as HTML.
local helper = require "spec.helper"
local lfs = require "lfs"

describe("make html", function()
  it("writes every page, whose links among each other lead somewhere", function()
    local dir = helper.tmpdir()
    local output, ok = helper.run("build-aux/html " .. dir .. " docs/*.md")
    assert(ok, output)
    local pages, links = {}, 0
    for name in lfs.dir(dir) do
      local file <close> = name:find "%.html$" and io.open(dir .. "/" .. name)
      pages[name] = file and file:read "a" or nil
    end
    for name, page in pairs(pages) do
      for target, anchor in page:gmatch 'href="([%w_-]+%.html)#?([^"]*)"' do
        assert(pages[target], name .. " links to " .. target)
        assert(anchor == "" or pages[target]:find('id="' .. anchor .. '"', 1, true), target .. " has no #" .. anchor)
        links = links + 1
      end
      for target in page:gmatch '%l+="([^"#]+)' do
        if target:find "/" and not target:find "^https?:" then
          assert(lfs.attributes(dir .. "/" .. target), name .. " links to " .. target)
        end
      end
    end
    assert.is_string(pages["reference.html"]:match "<h%d id=[^\n]*map%.create")
    assert.is_true(links >= 5, "links: " .. links)
    assert(lfs.attributes(dir .. "/ownership.svg"))
  end)
end)
