-- SPDX-License-Identifier: MIT
-- Finds out which registers of the intermediate code are live: whose value will be read.

local liveness = {}

-- Notes in `reads` what each block reads before it defines it, and in `defines` what it defines, by a key of the
-- block's and the register's ids.
local function summarize(f, keys, reads, defines)
  local defined_in = {}
  for id, block in ipairs(f.blocks) do
    local list, seen = {}, {}
    local function read(instruction)
      local uses = instruction.uses
      for n = 1, #uses do
        local register = uses[n]
        if defined_in[register.id] ~= id and not seen[register.id] then
          seen[register.id] = true
          list[#list + 1] = register
        end
      end
    end
    for _, i in ipairs(block.instructions) do
      read(i)
      if i.d then
        defined_in[i.d.id] = id
        defines[id * keys + i.d.id] = true
      end
    end
    read(block.terminator)
    reads[id] = list
  end
end

-- By block: the list of those that lead to it.
local function predecessors(f)
  local before = {}
  for id in ipairs(f.blocks) do
    before[id] = {}
  end
  for _, block in ipairs(f.blocks) do
    local yes, no = block.terminator.yes, block.terminator.no
    if yes then
      table.insert(before[yes.id], block)
    end
    if no then
      table.insert(before[no.id], block)
    end
  end
  return before
end

-- Sets each block's `live_out`: a list of the registers whose value is read behind the block. Goes from each read back
-- to the definitions, so it takes no longer than the lists are. Needs the instructions' `uses`. Returns a function that
-- says whether a register is live where a block begins, as long as blocks keep their ids.
function liveness.run(f)
  local keys = f.registers + 1
  local reads, defines, entered, left = {}, {}, {}, {} -- the latter have keys where a register is live
  summarize(f, keys, reads, defines)
  local before = predecessors(f)
  for _, block in ipairs(f.blocks) do
    block.live_out = {}
  end
  local pending = {}
  for id in ipairs(f.blocks) do
    for _, register in ipairs(reads[id]) do
      local register_id = register.id
      if not entered[id * keys + register_id] then
        entered[id * keys + register_id] = true
        pending[1] = id
      end
      while #pending > 0 do
        local list = before[pending[#pending]]
        pending[#pending] = nil
        for n = 1, #list do
          local from = list[n]
          local key = from.id * keys + register_id
          if not left[key] then
            left[key] = true
            from.live_out[#from.live_out + 1] = register
            if not defines[key] and not entered[key] then
              entered[key] = true
              pending[#pending + 1] = from.id
            end
          end
        end
      end
    end
  end
  return function(block, register)
    return entered[block.id * keys + register.id]
  end
end

return liveness
