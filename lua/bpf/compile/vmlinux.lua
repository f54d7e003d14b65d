-- SPDX-License-Identifier: MIT
-- vmlinux.h of the running kernel, which is kept in the folder of bpf.compile.

local core = require("bpf.core")
local posix = require("bpf.base.posix")

local vmlinux = {}

-- What btf:dump begins and ends with.
local HEAD <const>, TAIL <const> = "#ifndef __VMLINUX_H__\n", "\n#endif /* __VMLINUX_H__ */\n"

-- How the kernel's note with its build id begins, behind two lengths.
local BUILD_ID <const> = string.pack("=I4", 3) .. "GNU\0"

-- Whether a header is all there: a full disk or a crash may have cut what btf:dump wrote, or left zeros.
local function is_whole(path)
  local text = posix.read_private(path)
  if not text or text:find("\0", 1, true) or HEAD:sub(1, #text) == text then
    return false
  end
  return text:sub(1, #HEAD) ~= HEAD or text:sub(-#TAIL) == TAIL
end

-- Whether C text includes the header.
function vmlinux.is_wanted(source)
  return ("\n" .. source):find('\n[ \t]*#[ \t]*include[ \t]*["<]vmlinux%.h[">]') ~= nil
end

-- The directory that has the header: one in the folder, which may be nil, or the temporary one.
function vmlinux.directory(folder, temporary)
  local btf <close>, message, code = core.btf.kernel()
  if not btf then
    return nil, message, code
  end
  local name = ("vmlinux-%s-%s-%s"):format((btf:hash()), core._VERSION, core.libbpf_version)
  local kept = folder and posix.private_folder(folder, name)
  if kept and is_whole(kept .. "/vmlinux.h") then
    posix.touch(kept)
    return kept
  end
  local text
  text, message, code = btf:dump()
  if not text then
    return nil, message, code
  elseif kept and posix.write_private(kept .. "/vmlinux.h", text) then
    return kept
  end
  local done
  done, message, code = posix.write_file(temporary .. "/vmlinux.h", text)
  return done and temporary, message, code
end

-- What makes the running kernel's types what they are, without reading them: the build id of the kernel, of which they
-- are a part. Where there is none, the digest of the types.
function vmlinux.identity()
  local notes <close> = io.open("/sys/kernel/notes", "rb")
  local types <close> = io.open("/sys/kernel/btf/vmlinux", "rb")
  local build = notes and notes:read("a") or ""
  if types and build:find(BUILD_ID, 1, true) then
    return ("%s %d %s"):format(posix.kernel(), types:seek("end"), build)
  elseif types then
    return posix.file_digest("/sys/kernel/btf/vmlinux")
  end
  local btf <close> = core.btf.kernel()
  return posix.kernel() .. " " .. (btf and btf:hash() or "")
end

return vmlinux
