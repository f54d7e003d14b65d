-- SPDX-License-Identifier: MIT
-- Every Lua block of README.md and docs/*.md compiles and runs, from the top of the tree and on its own; those of the
-- reference are in reference_spec. One below the comment `<!-- not run: reason -->` only has to compile. What a block
-- prints is compared with a ```text block that follows under `<!-- output -->`: spaces don't matter, and "…" stands
-- for anything.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local lfs = require("lfs")

local files = { "README.md" }
for name in lfs.dir("docs") do
  if name:find("%.md$") and name ~= "reference.md" then
    files[#files + 1] = "docs/" .. name
  end
end
table.sort(files)

-- The Lua blocks of a file: { path, line, code, unrun = reason, output = text }.
local function blocks_of(path)
  local blocks, block = {}, nil
  local fence, text -- the language and the lines of the block we are in
  local note, number = nil, 0 -- the last line that wasn't empty; of the current line
  for line in io.lines(path) do
    number = number + 1
    if fence and line:find("^```%s*$") then
      local code = table.concat(text, "\n")
      if fence == "lua" then
        block.code = code
        blocks[#blocks + 1] = block
      elseif fence == "text" and note == "<!-- output -->" and block then
        block.output = code
      end
      fence, note = nil, nil
    elseif fence then
      text[#text + 1] = line
    elseif line:find("^```") then
      fence, text = line:match("^```(%a*)"), {}
      if fence == "lua" then
        block = { path = path, line = number, unrun = note and note:match("^<!%-%- not run: (.*) %-%->$") }
      end
    elseif line ~= "" then
      if line ~= "<!-- output -->" then
        block = nil
      end
      note = line
    end
  end
  assert(not fence, path .. ": the last code block has no end")
  return blocks
end

-- A pattern for a text in which spaces don't matter and "…" stands for anything.
local function loosely(text)
  text = text:gsub("^%s+", ""):gsub("%s+$", ""):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  return "^%s*" .. text:gsub("…", ".-"):gsub("%s+", "%%s+") .. "%s*$"
end

local all, to_run = {}, 0 -- to_run counts those of the README
for _, path in ipairs(files) do
  for _, block in ipairs(blocks_of(path)) do
    all[#all + 1] = block
    if path == "README.md" and not block.unrun then
      to_run = to_run + 1
    end
  end
end

describe("the documentation", function()
  it("has a README with Lua that runs", function()
    assert(to_run > 0)
  end)

  for _, block in ipairs(all) do
    local name = ("%s:%d"):format(block.path, block.line)
    local code = ("\n"):rep(block.line) .. block.code .. "\n" -- so that errors name the line in the document

    it(name .. " compiles", function()
      assert(load(code, "@" .. block.path, "t"))
    end)

    if not block.unrun then
      it(name .. " runs", function()
        kernel.root()
        local path = helper.tmpdir() .. "/block.lua"
        local file = assert(io.open(path, "w"))
        file:write(code)
        file:close()
        local output, ok = helper.run(helper.LUA .. " " .. path)
        assert(ok, output)
        if block.output then
          assert(output:find(loosely(block.output)), "it printed:\n" .. output .. "\nand not:\n" .. block.output)
        end
      end)
    end
  end
end)
