---@meta bpf
-- SPDX-License-Identifier: MIT
-- The public API for editors that run the Lua language server; never loaded at run time. What each function does
-- is in docs/reference.md, and spec/tree/api_spec.lua compares the two with the library itself.
--
-- Maps are compared with ==, which the language server takes for granted.

---@alias bpf.spec string|integer|bpf.type a C type: C text, a name in BTF, a size in bytes, or a compiled type

---@alias bpf.map.kind
---| "hash"
---| "array"
---| "percpu_hash"
---| "percpu_array"
---| "lru_hash"
---| "lru_percpu_hash"
---| "lpm_trie"
---| "queue"
---| "stack"
---| "bloom_filter"
---| "prog_array"
---| "array_of_maps"
---| "hash_of_maps"
---| "perf_event_array"
---| "cgroup_array"
---| "stack_trace"
---| "devmap"
---| "devmap_hash"
---| "cpumap"
---| "xskmap"
---| "sockmap"
---| "sockhash"
---| "reuseport_sockarray"
---| "sk_storage"
---| "inode_storage"
---| "task_storage"
---| "cgrp_storage"
---| "cgroup_storage"
---| "percpu_cgroup_storage"
---| "ringbuf"
---| "user_ringbuf"
---| "arena"
---| "struct_ops"

---@alias bpf.map.flag
---| "no_prealloc"
---| "no_common_lru"
---| "numa_node"
---| "rdonly"
---| "wronly"
---| "stack_build_id"
---| "zero_seed"
---| "rdonly_prog"
---| "wronly_prog"
---| "clone"
---| "mmapable"
---| "preserve_elems"
---| "inner_map"
---| "link"
---| "path_fd"
---| "vtype_btf_obj_fd"
---| "token_fd"
---| "segv_on_fault"
---| "no_user_conv"
---| "rb_overwrite"

---@alias bpf.map.update_flag "any"|"noexist"|"exist"|"lock"

-- The module ----------------------------------------------------------------------------------------------------------

---@class bpf
---@field _VERSION string version of this library
---@field libbpf_version string version of the libbpf in use, such as "v1.1"
local bpf = {}

---@class bpf.open.source
---@field bytes string the contents of an ELF file

---@class bpf.open.options
---@field name? string of the object, by default from the file's name; of bytes, the file and line of the script
---@field vars? { [string]: any } initial values of global variables
---@field maps? { [string]: integer|boolean|bpf.map|bpf.map.settings } entries, settings, existing maps to use instead, or none
---@field autoload? { [string]: boolean } false for programs not to load
---@field pin_root? string directory on a bpffs for maps that are pinned by name
---@field pin_any_type? boolean use a pinned map also if its keys or values have the right size and another C type
---@field kconfig? string text of additional kernel configuration for extern variables
---@field btf? string path of a kernel BTF for CO-RE
---@field token_path? string where a bpffs is mounted that delegates loading to this user namespace; "" for no token

---Opens a compiled BPF object; nothing reaches the kernel yet.
---@param source string|bpf.open.source path of the ELF file, or its bytes
---@param options? bpf.open.options
---@return bpf.object? object
---@return string? message
---@return string? code
function bpf.open(source, options) end

---Opens and loads a compiled BPF object.
---@param source string|bpf.open.source path of the ELF file, or its bytes
---@param options? bpf.open.options
---@return bpf.object? object
---@return string? message
---@return string? code
---@return string? log libbpf's lines with the whole verifier log
function bpf.load(source, options) end

---Loads at once the modules in Lua that are otherwise loaded when they are first used, and LuaSocket if it is there.
---@return true
function bpf.preload() end

---Sets who hears libbpf's messages; nil for nobody.
---@param fn? fun(line: string)
function bpf.log(fn) end

---@class bpf.ringbuf.options
---@field unpack? boolean pass the members of a struct as values
---@field into? table fill this table with every record
---@field lost? fun(n: integer, why: string) called where something else than the kernel and this reader wrote the memory

---Opens a reader of a ring buffer map. A ring takes one reader at a time, in all processes.
---@param map bpf.map of type ringbuf
---@param type? bpf.spec of the records; nil gives the bytes
---@param handler? fun(...: any) called with each record by poll and consume
---@param options? bpf.ringbuf.options
---@return bpf.ringbuf? reader
---@return string? message
---@return string? code
function bpf.ringbuf(map, type, handler, options) end

---@class bpf.perfbuf.options
---@field unpack? boolean pass the members of a struct as values
---@field into? table fill this table with every record
---@field lost? fun(cpu: integer, n: integer, why?: string) called where n records were lost; nil: they found no room
---@field pages? integer of each CPU's memory, a power of two; 64 by default
---@field cpus? integer[] the CPUs to read; all that are online by default
---@field sample_period? integer wake a waiting reader when this many records have come
---@field wakeup_events? integer the same, by the kernel's name

---Opens a reader of a perf buffer.
---@param map bpf.map of type perf_event_array
---@param type? bpf.spec of the records; nil gives the bytes
---@param handler? fun(...: any) called with each record, and the number of its CPU, by poll and consume
---@param options? bpf.perfbuf.options
---@return bpf.perfbuf? reader
---@return string? message
---@return string? code
function bpf.perfbuf(map, type, handler, options) end

---Opens a user ring buffer map for sending samples to the BPF programs that drain it.
---@param map bpf.map of type user_ringbuf
---@param type? bpf.spec of the samples; nil for strings of any length
---@return bpf.user_ringbuf? producer
---@return string? message
---@return string? code
function bpf.user_ringbuf(map, type) end

-- What the kernel holds -----------------------------------------------------------------------------------------------

---Iterates over all maps that the kernel holds, by rising id.
---@return (fun(): bpf.map.information?)? iterator
---@return string? message
---@return string? code "EPERM" without CAP_SYS_ADMIN
function bpf.maps() end

---Iterates over all programs that the kernel holds, by rising id.
---@return (fun(): bpf.prog.information?)? iterator
---@return string? message
---@return string? code "EPERM" without CAP_SYS_ADMIN
function bpf.progs() end

---What is attached to an interface, a network namespace, a cgroup or a map of sockets.
---@class bpf.attachment
---@field kind "xdp"|"tc"|"tcx"|"netkit"|"cgroup"|"netns"|"sockmap"
---@field prog_id integer
---@field program? string the program's name
---@field tag? string
---@field link_id? integer nil: no link attaches the program
---@field interface? string
---@field ifindex? integer
---@field mode? "native"|"skb"|"offload" of xdp
---@field attach_point? string of tc, tcx and netkit
---@field priority? integer of tc, like the next ones
---@field handle? integer
---@field protocol? integer
---@field chain? integer
---@field block? integer
---@field direct_action? boolean
---@field name? string that of the filter
---@field attach_type? string of cgroup, netns and sockmap
---@field cgroup? string path
---@field cgroup_id? integer
---@field flags? "multi"|"override" of cgroup
---@field map_id? integer
---@field map? string the map's name

---Iterates over what is attached to interfaces, the network namespace, cgroups and maps of sockets, with or without a
---link.
---@param options? { interface?: string|integer, cgroup?: string }
---@return (fun(): bpf.attachment?)? iterator
---@return string? message
---@return string? code "EPERM" without CAP_SYS_ADMIN and CAP_NET_ADMIN
function bpf.attached(options) end

---Detaches what bpf.attached has found, unless something else has taken its place.
---@param item bpf.attachment
---@return true? ok
---@return string? message
---@return string? code
function bpf.detach(item) end

---Iterates over all links that the kernel holds, by rising id.
---@return (fun(): bpf.link.information?)? iterator
---@return string? message
---@return string? code "EPERM" without CAP_SYS_ADMIN
function bpf.links() end

---What the kernel knows about a map, by its id.
---@param id integer
---@return bpf.map.information? info
---@return string? message
---@return string? code
function bpf.map_info(id) end

---What the kernel knows about a program, by its id.
---@param id integer
---@return bpf.prog.information? info
---@return string? message
---@return string? code
function bpf.prog_info(id) end

---@class bpf.link.information
---@field id integer
---@field type string
---@field prog_id integer
---@field type_number? integer of a type without a name, "other"
---@field event? "uprobe"|"uretprobe"|"kprobe"|"kretprobe"|"tracepoint"|"event" of type perf_event
---@field [string] any the fields of the type

---What the kernel knows about a link, by its id.
---@param id integer
---@return bpf.link.information? info
---@return string? message
---@return string? code
function bpf.link_info(id) end

---The numbers of the machine's CPUs: those that can ever be there, and those that are online.
---@return { possible: integer[], online: integer[] }?
---@return string? message
---@return string? code
function bpf.cpus() end

---The path of a cgroup of version 2 from the hierarchy's root, by its id.
---@param id integer
---@return string? path nil when there is no such cgroup
---@return string? message
---@return string? code
function bpf.cgroup_path(id) end

---The name of a network interface, by its index.
---@param ifindex integer
---@return string? name nil when there is no such interface
function bpf.interface_name(ifindex) end

---@class bpf.features
bpf.features = {}

---Whether maps of a type can be created, by this process on this kernel.
---@param name string the kernel's in lower case; an unknown one raises
---@return boolean? has nil when it can't be told
---@return string? message
---@return string? code
function bpf.features.map_type(name) end

---Whether programs of a type can be loaded, by this process on this kernel.
---@param name string the kernel's in lower case; an unknown one raises
---@return boolean? has nil when it can't be told
---@return string? message
---@return string? code
function bpf.features.prog_type(name) end

---Whether programs of a type can call a helper.
---@param prog_type string such as "xdp"
---@param name string the helper's without `bpf_`
---@return boolean? has nil when it can't be told
---@return string? message
---@return string? code
function bpf.features.helper(prog_type, name) end

---All map types, and whether maps of them can be created.
---@return { [string]: boolean } has
---@return { [string]: string } why not
function bpf.features.map_types() end

---All program types, and whether programs of them can be loaded.
---@return { [string]: boolean } has
---@return { [string]: string } why not
function bpf.features.prog_types() end

---All helpers, and whether programs of a type can call them.
---@param prog_type string such as "xdp"
---@return { [string]: boolean } has
---@return { [string]: string } why not
function bpf.features.helpers(prog_type) end

---The running kernel's release, as `uname -r` prints it.
---@return string
function bpf.features.kernel() end

---How many CPUs this kernel may ever have.
---@return integer?
---@return string? message
---@return string? code
function bpf.features.cpus() end

-- Maps ----------------------------------------------------------------------------------------------------------------

---A map. Indexing it looks keys up, never methods: operations are functions of `bpf.map`.
---@class bpf.map: userdata
---@operator len: integer
---@field [any] any

---@class bpf.map.functions
bpf.map = {}

---@class bpf.map.options
---@field type? bpf.map.kind
---@field like? bpf.map what the new map is like, or for a map of maps: what the maps in it are like
---@field key? bpf.spec
---@field value? bpf.spec
---@field max_entries? integer entries, slots, bytes of a ring buffer, pages of an arena
---@field inner? bpf.map|bpf.map.options what the maps in a map of maps are like
---@field name? string at most 15 characters reach the kernel
---@field flags? bpf.map.flag|bpf.map.flag[]
---@field key_size? integer in place of key
---@field value_size? integer in place of value
---@field map_extra? integer
---@field numa_node? integer
---@field ifindex? integer
---@field token? bpf.token for a process in a user namespace

---Creates a map without any object.
---@param options bpf.map.options
---@return bpf.map? map
---@return string? message
---@return string? code
function bpf.map.create(options) end

---Opens a pinned map.
---@param path string
---@param flags? "rdonly"|"wronly"
---@return bpf.map? map
---@return string? message
---@return string? code
function bpf.map.open(path, flags) end

---Opens a map by its kernel id.
---@param id integer
---@param flags? "rdonly"|"wronly"
---@return bpf.map? map
---@return string? message
---@return string? code
function bpf.map.by_id(id, flags) end

---Declares a map that programs in Lua use and that is created with their object.
---@param options bpf.map.options
---@return bpf.map
function bpf.map.declare(options) end

---Adds to the value of an entry in one step; inserts the entry if the key is absent.
---@param m bpf.map|table or the variables of an object, obj.vars
---@param k any
---@param n? integer 1 by default
---@return true?
---@return string? message
---@return string? code
function bpf.map.add(m, k, n) end

---The program by which map.add adds to a map: loaded, or opened by its pin.
---@param m bpf.map
---@param path? string of the pin, for a process that may not load programs
---@return bpf.prog?
---@return string? message
---@return string? code
function bpf.map.adder(m, path) end

---Makes a handle for a map's file descriptor, which is duplicated.
---@param fd integer
---@return bpf.map? map
---@return string? message
---@return string? code
function bpf.map.by_fd(fd) end

---Views a map through types of your choice.
---@param m bpf.map
---@param key? bpf.spec nil keeps the map's
---@param value? bpf.spec nil keeps the map's
---@return bpf.map
---@nodiscard
function bpf.map.typed(m, key, value) end

---Makes a handle that shows some members of a map's structs as the values, for reading only.
---@param m bpf.map
---@param member string by its path, "addr.port"
---@param ... string further members: values are tables of these
---@return bpf.map? column
---@return string? message
---@return string? code
function bpf.map.column(m, member, ...) end

---@class bpf.map.lookup_options
---@field into? table to fill in place of a new one
---@field cpu? integer the one CPU, from 0, whose value of a per-CPU map is meant
---@field [integer] "lock"

---@class bpf.map.update_options
---@field cpu? integer the one CPU, from 0, whose value of a per-CPU map is meant
---@field [integer] bpf.map.update_flag

---Calls a function while the lock of an entry is held; for programs.
---@param v any
---@param fn fun(v: any): ...
---@return any result
function bpf.map.locked(v, fn) end

---Looks a key up; one nil when there is no such key.
---@param m bpf.map
---@param key any
---@param flags? "lock"|bpf.map.lookup_options
---@return any value
---@return string? message
---@return string? code
function bpf.map.lookup(m, key, flags) end

---Looks a struct up and gives its members as values in declaration order; one nil when there is no such key.
---@param m bpf.map
---@param key any
---@return any ...
function bpf.map.unpack(m, key) end

---Runs a function in the kernel for each entry, and adds up what it returns.
---@param m bpf.map
---@param fn fun(k: any, v: any): ...: integer|boolean?
---@return integer? sum of the first results; those of further ones follow
---@return integer|string? second sum, or message
---@return integer|string? third sum, or code
function bpf.map.scan(m, fn) end

---Stores a struct from its members as values in declaration order; nil leaves one zero.
---@param m bpf.map
---@param key any
---@param ... any
---@return true?
---@return string? message
---@return string? code
function bpf.map.pack(m, key, ...) end

---Adds up the values that the CPUs have for a key; one nil when there is no such key.
---@param m bpf.map of a per-CPU type
---@param key any
---@return any value
---@return string? message
---@return string? code
function bpf.map.sum(m, key) end

---Stores a value. Returns false and a code when "noexist" or "exist" refused it.
---@param m bpf.map
---@param key any
---@param value any
---@param flags? bpf.map.update_flag|bpf.map.update_options
---@return boolean? stored
---@return string? message or the code, when refused
---@return string? code
function bpf.map.update(m, key, value, flags) end

---Deletes an entry. Returns false and "ENOENT" when there is no such key.
---@param m bpf.map
---@param key any
---@return boolean? deleted
---@return string? message or the code, when absent
---@return string? code
function bpf.map.delete(m, key) end

---Takes an entry out of the map; one nil when there is no such key.
---@param m bpf.map
---@param key any
---@param flags? "lock"|string[]
---@return any value
---@return string? message
---@return string? code
function bpf.map.lookup_and_delete(m, key, flags) end

---The key that follows another in the kernel's order; one nil after the last.
---@param m bpf.map
---@param key? any nil for the first
---@return any key
---@return string? message
---@return string? code
function bpf.map.next_key(m, key) end

---Walks a per-CPU map with the sums of the CPUs' values.
---@param m bpf.map of a per-CPU type
---@return fun(): any, any iterator
function bpf.map.sums(m) end

---Begins to watch the counters in a map: the function gives what they have grown by per second since its last call.
---@param m bpf.map
---@return fun(): fun(): any, any rates
function bpf.map.rates(m) end

---Walks the keys of a map, as pairs walks keys and values.
---@param m bpf.map
---@return fun(): any iterator
function bpf.map.keys(m) end

---Adds an element to a queue, a stack or a Bloom filter; "exist" drops a queue's oldest when it is full.
---@param m bpf.map
---@param value any
---@param flags? "any"|"exist"|("any"|"exist")[]
---@return true? done
---@return string? message
---@return string? code
function bpf.map.push(m, value, flags) end

---Takes the next element of a queue or stack; one nil when it is empty.
---@param m bpf.map
---@return any element
---@return string? message
---@return string? code
function bpf.map.pop(m) end

---Reads the next element of a queue or stack; one nil when it is empty.
---@param m bpf.map
---@return any element
---@return string? message
---@return string? code
function bpf.map.peek(m) end

---Asks a Bloom filter whether a value was pushed.
---@param m bpf.map
---@param value any
---@return boolean? contained false: certainly not; true: very likely
---@return string? message
---@return string? code
function bpf.map.contains(m, value) end

---Reads the next entries of a map, as many as asked for: a walk in pieces.
---@param m bpf.map
---@param cursor? userdata what the call before returned; nil begins
---@param count? integer how many at most, 256 by default
---@param flags? "lock"|"lock"[]
---@return any[]? keys
---@return any[]|string values or the message
---@return userdata|string|nil cursor nil when this was the end; or the code
function bpf.map.lookup_batch(m, cursor, count, flags) end

---Stores many entries, in batches where the kernel can.
---@param m bpf.map
---@param source table|bpf.map|fun(state: any, control: any): any, any entries, or an iterator as `for` takes it
---@param flags_or_state? any flags; after an iterator its state
---@param control? any after an iterator its control variable
---@param flags? bpf.map.update_flag|bpf.map.update_flag[] after an iterator the flags
---@return integer? count
---@return string? message
---@return string? code
---@return integer? done how many were stored before the failure
---@return any key the one that failed
function bpf.map.update_batch(m, source, flags_or_state, control, flags) end

---Deletes many entries, in batches where the kernel can. Keys that aren't there are left out.
---@param m bpf.map
---@param keys any[]|bpf.map|fun(state: any, control: any): any a sequence of keys, or an iterator as `for` takes it
---@param state? any
---@param control? any
---@return integer? count
---@return string? message
---@return string? code
---@return integer? done how many were deleted before the failure
---@return any key the one that failed
function bpf.map.delete_batch(m, keys, state, control) end

---Takes entries out of a map while walking it: `for k, v in map.drain(m) do`, or `for v in map.drain(queue) do`.
---@param m bpf.map
---@return fun(): any, any iterator
function bpf.map.drain(m) end

---@class bpf.view: userdata
---@field [integer] any elements, from 0

---Views an arena, or an array created with the flag "mmapable", as a sequence of values.
---@param m bpf.map
---@param type bpf.spec of an element
---@param offset? integer in bytes; 0 by default
---@param count? integer by default as many as fit
---@return bpf.view? view
---@return string? message
---@return string? code
function bpf.map.view(m, type, offset, count) end

---Registers a struct_ops map of a loaded object with the kernel.
---@param m bpf.map
---@return bpf.link? link
---@return string? message
---@return string? code
function bpf.map.attach(m) end

---Deletes every entry; sets every slot of an array to zero; empties a queue or stack.
---@param m bpf.map
---@return integer? count
---@return string? message
---@return string? code
function bpf.map.clear(m) end

---Pins the map to a path on a bpffs.
---@param m bpf.map
---@param path string
---@return true? done
---@return string? message
---@return string? code
function bpf.map.pin(m, path) end

---Removes a pin of the map.
---@param m bpf.map
---@param path string
---@return true? done
---@return string? message
---@return string? code
function bpf.map.unpin(m, path) end

---Makes the map read-only for user space, for good.
---@param m bpf.map
---@return true? done
---@return string? message
---@return string? code
function bpf.map.freeze(m) end

---Sets max_entries of a map that an object declares, before the object is loaded.
---@param m bpf.map
---@param max_entries integer
---@return true? done
---@return string? message
---@return string? code
function bpf.map.resize(m, max_entries) end

---@class bpf.map.settings
---@field type? bpf.map.kind
---@field key_size? integer
---@field value_size? integer
---@field max_entries? integer
---@field map_flags? bpf.map.flag|bpf.map.flag[]|integer
---@field map_extra? integer
---@field numa_node? integer
---@field ifindex? integer
---@field inner_map? bpf.map that the inner ones are like
---@field autocreate? boolean
---@field pin_path? string|false
---@field initial_value? string the bytes of a section of variables

---Sets what a map is that an object declares, before the object is loaded.
---@param m bpf.map
---@param settings bpf.map.settings
---@return true? done
---@return string? message
---@return string? code
function bpf.map.configure(m, settings) end

---@class bpf.map.information
---@field id integer none before the load
---@field type bpf.map.kind|"other"
---@field name string
---@field key_size integer
---@field value_size integer
---@field max_entries integer
---@field map_flags integer
---@field ifindex integer
---@field btf_id integer
---@field btf_key_type_id integer
---@field btf_value_type_id integer
---@field map_extra integer
---@field type_number? integer of a type without a name, "other"
---@field numa_node? integer of an object's map, as the rest
---@field autocreate? boolean
---@field is_internal? boolean it holds variables
---@field pin_path? string
---@field inner_map? bpf.map.information before the load
---@field initial_value? string before the load: the bytes of a section of variables

---What the kernel knows about the map, or, before its object is loaded, what that declares.
---@param m bpf.map
---@return bpf.map.information? info
---@return string? message
---@return string? code
function bpf.map.info(m) end

---The types of a map's keys and values.
---@param m bpf.map
---@return bpf.type? key
---@return bpf.type? value of a per-CPU map, one CPU's
function bpf.map.types(m) end

---The map's file descriptor, which stays the map's.
---@param m bpf.map
---@return integer
function bpf.map.fd(m) end

---Closes the handle; closing twice is fine.
---@param m bpf.map
---@return true
function bpf.map.close(m) end

---The map's type, "closed map" for a closed one, nil for what is no map.
---@param value any
---@return bpf.map.kind|"other"|"closed map"|nil
function bpf.map.type(value) end

-- Compiled objects ----------------------------------------------------------------------------------------------------

---@class bpf.object: userdata
---@field maps { [string]: bpf.map } the object's maps by name
---@field progs { [string]: bpf.prog } the object's programs by name
---@field vars bpf.vars the object's global variables
local object = {}

---Creates the maps and loads the programs into the kernel. A failed object is closed.
---@return true? done
---@return string? message with the verifier's telling line
---@return string? code
---@return string? log libbpf's lines with the whole verifier log
function object:load() end

---Attaches every program by its section.
---@return true? done
---@return string[]|string? left names of programs whose section names no place; or the message
---@return string? code
function object:attach() end

---Detaches every link of the object.
---@return true
function object:detach() end

---The object's name.
---@return string
function object:name() end

---The object's BTF.
---@return bpf.btf?
---@return string? message
---@return string? code
---@nodiscard
function object:btf() end

---Pins all maps and loaded programs of the object in a folder, each under its name.
---@param dir string
---@return true?
---@return string? message
---@return string? code
function object:pin(dir) end

---Removes what object:pin pinned.
---@param dir string
---@return true?
---@return string? message
---@return string? code
function object:unpin(dir) end

---Closes the object and everything in it; closing twice is fine.
---@return true
function object:close() end

---An object's global variables: reading and writing a field reads and writes the variable. A second static variable of the
---same name is `vars["name#2"]`.
---@class bpf.vars: userdata
---@field [string] any

-- Programs and links --------------------------------------------------------------------------------------------------

---@class bpf.prog: userdata
local prog = {}

---Attaches the program where its section says.
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach() end

---Attaches a kprobe or kretprobe program to a function of the kernel.
---@param func string name of the function
---@param options? table
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_kprobe(func, options) end

---Attaches a kprobe.multi program to many functions of the kernel at once.
---@param functions string|table a pattern such as "tcp_*"
---@param options? table
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_kprobe_multi(functions, options) end

---Attaches a kprobe program to a system call, whatever the kernel calls its function.
---@param name string such as "unlinkat"
---@param options? table retprobe
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_ksyscall(name, options) end

---Attaches a uprobe or uretprobe program to a function of programs and libraries.
---@param path string of the file
---@param func string|integer name of the function
---@param options? table
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_uprobe(path, func, options) end

---Attaches a uprobe.multi program to many functions of a file at once.
---@param path string of the file
---@param functions string|table a pattern
---@param options? table pid
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_uprobe_multi(path, functions, options) end

---Attaches a usdt program to marks that a program or library has of itself.
---@param path string of the file
---@param provider string
---@param name string of the mark
---@param options? table
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_usdt(path, provider, name, options) end

---Attaches a tracepoint program.
---@param category string such as "syscalls"
---@param name string such as "sys_enter_openat"
---@param options? table bpf_cookie
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_tracepoint(category, name, options) end

---Attaches a raw_tp program to a tracepoint.
---@param name string such as "sys_enter"
---@param options? table cookie
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_raw_tracepoint(name, options) end

---Attaches a fentry, fexit, fmod_ret or tp_btf program where its section, or prog:attach_target, says.
---@param options? table cookie
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_trace(options) end

---Attaches an lsm program to the hook that its section names.
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_lsm() end

---Attaches a perf_event program to an event.
---@param event integer|table a descriptor, or the event to open; cpu = "online" is each CPU that is online
---@param options? table bpf_cookie
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_perf_event(event, options) end

---Attaches a freplace program in place of a function of another program.
---@param target bpf.prog loaded
---@param func string name of its function
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_freplace(target, func) end

---Attaches an iterator program; what it prints is read by link:lines, link:read and link:records.
---@param options? table what to go over
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_iter(options) end

---Attaches an xdp program to a network interface.
---@param interface string|integer name or index
---@param options? { mode?: "skb"|"native"|"offload", netlink?: boolean, replace?: boolean|string }
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_xdp(interface, options) end

---Attaches a tc program (SEC("tc")) to an interface's clsact queueing discipline, which is made if it isn't there and stays.
---@param interface string|integer name or index
---@param options? { attach_point?: "ingress"|"egress", handle?: integer, priority?: integer, replace?: boolean|string }
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_tc(interface, options) end

---Attaches a tc program (SEC("tcx/ingress"), "tcx/egress") to an interface, among others.
---@param interface string|integer name or index
---@param options? table
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_tcx(interface, options) end

---Attaches a program (SEC("netkit/primary"), "netkit/peer") to a netkit interface.
---@param interface string|integer name or index
---@param options? table as of attach_tcx
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_netkit(interface, options) end

---Attaches a netfilter program to a hook.
---@param options table
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_netfilter(options) end

---Attaches a flow_dissector or sk_lookup program to a network namespace.
---@param netns string|integer path such as "/proc/self/ns/net"
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_netns(netns) end

---Attaches a cgroup program to a cgroup (of version 2).
---@param cgroup string|integer path or descriptor
---@param options? table flags, attach_type
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_cgroup(cgroup, options) end

---Attaches an sk_skb or sk_msg program to a map of sockets, for what its section says.
---@param map bpf.map of type sockmap or sockhash
---@param options? table attach_type
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_sockmap(map, options) end

---Attaches a socket filter to a socket.
---@param socket integer|userdata descriptor
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_socket(socket) end

---Attaches an sk_reuseport program to the group of a socket with SO_REUSEPORT.
---@param socket integer|userdata descriptor
---@return bpf.link? link
---@return string? message
---@return string? code
function prog:attach_reuseport(socket) end

---The program's name.
---@return string
function prog:name() end

---The section the program stands in, which says what it is and where it attaches.
---@return string
function prog:section() end

---The program's file descriptor, which stays the object's or the handle's.
---@return integer
function prog:fd() end

---Whether the program is loaded with its object; given a boolean, sets that.
---@param on? boolean only before the object is loaded
---@return boolean? on
---@return string? message
---@return string? code
function prog:autoload(on) end

---Whether obj:attach() attaches the program; given a boolean, sets that.
---@param on? boolean
---@return boolean
function prog:autoattach(on) end

---How much the verifier says when the program is loaded; given a level, sets that.
---@param level? integer 0
---@return integer? n
---@return string? message
---@return string? code
function prog:log_level(level) end

---The flags that the program is loaded with, besides those of its section; given some, sets them.
---@param flags? string|string[]|integer "sleepable"
---@return integer? n
---@return string? message
---@return string? code
function prog:flags(flags) end

---The kernel's name for the type of program; given one, sets that.
---@param type? string such as "raw_tracepoint"
---@return string? text
---@return string? message
---@return string? code
function prog:type(type) end

---What the program is to be attached to, as the kernel calls it; given a name, sets that.
---@param type? string such as "cgroup_inet_ingress"
---@return string? text
---@return string? message
---@return string? code
function prog:expected_attach_type(type) end

---Says which function of the kernel, or of another program, a fentry, fexit, fmod_ret, lsm or freplace program is for, where its section doesn't.
---@param func string name of the function
---@param target? bpf.prog the program whose function that is
---@return true? done
---@return string? message
---@return string? code
function prog:attach_target(func, target) end

---What the kernel knows about the program.
---@return table? result
---@return string? message
---@return string? code
function prog:info() end

---Closes a program that was opened by pin or id; closing twice is fine.
---@return true
function prog:close() end

---Pins the program, so that it outlives its handles and others can open it.
---@param path string on a bpffs
---@return true? done
---@return string? message
---@return string? code
function prog:pin(path) end

---Removes a pin of the program.
---@param path string of a pin of this program
---@return true? done
---@return string? message
---@return string? code
function prog:unpin(path) end

---@class bpf.prog.information
---@field id integer
---@field type string
---@field name string
---@field tag string hexadecimal
---@field load_time integer ns since boot
---@field uid integer
---@field jited_prog_len integer bytes
---@field xlated_prog_len integer bytes
---@field run_time_ns integer while statistics are on
---@field run_cnt integer while statistics are on
---@field verified_insns integer
---@field recursion_misses integer
---@field btf_id integer
---@field map_ids integer[] of the maps it uses
---@field type_number? integer of a type without a name, "other"
---@field section_name? string of an object's program, as the rest
---@field expected_attach_type? string
---@field flags? integer
---@field insn_cnt? integer instructions
---@field log_level? integer
---@field autoload? boolean
---@field autoattach? boolean

---@class bpf.prog.run_options
---@field data? string packet
---@field ctx? string|table context, as bytes
---@field repeat_? integer how often to run it; 1 by default
---@field flags? string|string[]|integer "xdp_live_frames", "run_on_cpu", "skb_checksum_complete"
---@field cpu? integer
---@field ctx_type? bpf.spec the context's C type, where the program's BTF doesn't tell
---@field batch_size? integer

---@class bpf.prog.run_result
---@field retval integer the program's return value, signed as in C
---@field data? string the packet afterwards
---@field ctx? string the context afterwards
---@field duration integer nanoseconds for one run

---Runs the program in the kernel on data of your own.
---@param options? bpf.prog.run_options
---@return bpf.prog.run_result? result
---@return string? message
---@return string? code
function prog:run(options) end

---@class bpf.link: userdata
local link = {}

---Closes the link.
---@return true
function link:close() end

---Detaches the program, whoever else may have the link open or pinned, and closes it.
---@return true
function link:detach() end

---The link's file descriptor, or nil for an attachment that has none.
---@return integer?
function link:fd() end

---Puts another program, or of struct_ops another map, in place of the attached one, at one stroke.
---@param replacement bpf.prog|bpf.map loaded
---@return true? done
---@return string? message
---@return string? code
function link:update(replacement) end

---Pins the link.
---@param path string on a bpffs
---@return true? done
---@return string? message
---@return string? code
function link:pin(path) end

---Removes a pin of the link.
---@param path string of a pin of this link
---@return true? done
---@return string? message
---@return string? code
function link:unpin(path) end

---Lets go of the link without detaching.
---@return true
function link:disconnect() end

---What the kernel knows about the link.
---@return table? result
---@return string? message
---@return string? code
function link:info() end

---Runs an iterator program and goes over the lines that it prints.
---@return function
function link:lines() end

---Runs an iterator program that writes records of one size (bpf_seq_write) and goes over them.
---@param type string|integer|bpf.type of a record
---@return function
function link:records(type) end

---Runs an iterator program and gives all that it prints.
---@return string? text
---@return string? message
---@return string? code
function link:read() end

-- Ring buffers --------------------------------------------------------------------------------------------------------

---@class bpf.ringbuf: userdata
local ringbuf = {}

---Adds another ring buffer to the reader.
---@param map bpf.map of type ringbuf
---@param type? bpf.spec of the records; nil gives the bytes
---@param handler? fun(...: any)
---@param options? bpf.ringbuf.options
---@return bpf.ringbuf? reader itself
---@return string? message
---@return string? code
function ringbuf:add(map, type, handler, options) end

---Hands the records that are there to their handlers; when there are none, waits for the first.
---@param timeout? integer in milliseconds; -1 or nil waits for ever
---@param max? integer how many records to handle at most
---@return integer? count 0 when the time ran out, or on a signal that the process handles
---@return string? message
---@return string? code "EINTR" in a coroutine, when a signal's hook is in the main thread
function ringbuf:poll(timeout, max) end

---Hands the records that are there to their handlers, without waiting.
---@param max? integer how many records to handle at most
---@return integer count
function ringbuf:consume(max) end

---Iterates over records as they come. Handlers are not called.
---@param timeout? integer in milliseconds to wait for the next record; -1 or nil for ever
---@return fun(): any, ... iterator
function ringbuf:events(timeout) end

---How many times records were lost because something else than the kernel and this reader wrote the ring's memory.
---@return integer
function ringbuf:lost() end

---A descriptor for event loops: readable when a record is there.
---@return integer
function ringbuf:fd() end

---The same as ringbuf:fd, by the name that LuaSocket's select and other loops ask for.
---@return integer
function ringbuf:getfd() end

---Closes the reader; closing twice is fine.
---@return true
function ringbuf:close() end

---@class bpf.perfbuf: userdata
local perfbuf = {}

---Adds another map to the reader.
---@param map bpf.map of type perf_event_array
---@param type? bpf.spec of the records; nil gives the bytes
---@param handler? fun(...: any)
---@param options? bpf.perfbuf.options
---@return bpf.perfbuf? reader itself
---@return string? message
---@return string? code
function perfbuf:add(map, type, handler, options) end

---Hands the records that are there to their handlers; when there are none, waits for the first.
---@param timeout? integer in milliseconds; -1 or nil waits for ever
---@param max? integer how many records to handle at most
---@return integer? count 0 when the time ran out, or on a signal that the process handles
---@return string? message
---@return string? code "EINTR" in a coroutine, when a signal's hook is in the main thread
function perfbuf:poll(timeout, max) end

---Hands the records that are there to their handlers, without waiting.
---@param max? integer how many records to handle at most
---@return integer count
function perfbuf:consume(max) end

---Iterates over records as they come, each followed by the number of its CPU. Handlers are not called.
---@param timeout? integer in milliseconds to wait for the next record; -1 or nil for ever
---@return fun(): any, ... iterator
function perfbuf:events(timeout) end

---A descriptor for event loops: readable when a record is there.
---@return integer? fd
---@return string? message
---@return string? code
function perfbuf:fd() end

---The same as perfbuf:fd, by the name that LuaSocket's select and other loops ask for.
---@return integer? fd
---@return string? message
---@return string? code
function perfbuf:getfd() end

---How many records found no room, as far as was read.
---@return integer
function perfbuf:lost() end

---Closes the reader and empties the map's slots; closing twice is fine.
---@return true
function perfbuf:close() end

---@class bpf.user_ringbuf: userdata
local user_ringbuf = {}

---Sends a sample to the program that drains the ring.
---@param value any of the type given to bpf.user_ringbuf, or a string
---@param timeout? integer in milliseconds to wait for room; 0 or nil doesn't wait, -1 waits for ever
---@return true?
---@return string? message
---@return string? code "ENOSPC" while the ring is full, "E2BIG", "EINTR" on a signal that the process handles, "EIO"
function user_ringbuf:submit(value, timeout) end

---A descriptor for event loops: readable when a program has drained samples since submit last found the ring full.
---@return integer
function user_ringbuf:fd() end

---The same as user_ringbuf:fd, by the name that LuaSocket's select and other loops ask for.
---@return integer
function user_ringbuf:getfd() end

---Closes the producer; closing twice is fine.
---@return true
function user_ringbuf:close() end

-- Time and signals ----------------------------------------------------------------------------------------------------

---@alias bpf.clock.name "monotonic"|"boottime"|"realtime"|"tai"

---The time of one of the kernel's clocks.
---@param name? bpf.clock.name by default "monotonic", which bpf_ktime_get_ns reads
---@return integer ns
function bpf.clock(name) end

---The date of a time of one of the kernel's clocks, such as an event's time stamp.
---@param ns integer
---@param clock? bpf.clock.name by default "monotonic"
---@return integer seconds since 1970
---@return integer ns beyond these
function bpf.walltime(ns, clock) end

---Sleeps. A signal that the process handles ends it early.
---@param seconds number
---@return boolean? whole false if a signal ended it
---@return string? message
---@return string? code
function bpf.sleep(seconds) end

---@alias bpf.signal "HUP"|"INT"|"QUIT"|"USR1"|"USR2"|"PIPE"|"ALRM"|"TERM"|"CHLD"|"CONT"|"TSTP"|"TTIN"|"TTOU"|"WINCH"

---@class bpf.signals: userdata
local signals = {}

---The signals that came since the last call; waits for one if there is none.
---@param timeout? integer in milliseconds; 0 doesn't wait, -1 or nil waits for ever
---@return bpf.signal ... names; nothing if none came
function signals:poll(timeout) end

---A descriptor for event loops: readable while there are signals to poll.
---@return integer? fd
---@return string? message
---@return string? code
function signals:fd() end

---The same as signals:fd, by the name that LuaSocket's select and other loops ask for.
---@return integer? fd
---@return string? message
---@return string? code
function signals:getfd() end

---Gives the signals back; closing twice is fine.
---@return true
function signals:close() end

---Makes signals events of this script: they don't end the process, and end waits until they are polled.
---@param ... bpf.signal
---@return bpf.signals? signals
---@return string? message
---@return string? code
---@nodiscard
function bpf.signals(...) end

-- Compiling -----------------------------------------------------------------------------------------------------------

---@class bpf.compile.options
---@field include? string|string[] directories in which to look for headers
---@field defines? table<string|integer, string|number|boolean>|string macros
---@field cflags? string|string[] further arguments of clang, after ours: -target bpf -mcpu=v3 -g -O2
---@field target? string architecture of the kernel, such as "x86"; by default this one's
---@field name? string what messages call text that stands in no script
---@field file? string path of the C file, where the options are given in place of C text
---@field cache? boolean false: compile anew, and keep nothing

---Compiles BPF C by the clang that is installed, or returns the object that an earlier call kept.
---@param source string|bpf.compile.options C text, or options with `file`
---@param options? bpf.compile.options
---@return string? bytes
---@return string? message or warnings
---@return string? code
---@return string? messages all that clang said
---@nodiscard
function bpf.compile(source, options) end

-- Programs in Lua -----------------------------------------------------------------------------------------------------

---@class bpf.program.options: bpf.open.options
---@field license? string "GPL" by default
---@field ctx_type? bpf.spec the context of programs of section "syscall"

---Compiles functions into BPF programs and loads them as one object.
---@param programs table<string, { [1]: string, [2]: function }> name → { section, function }
---@param options? bpf.program.options
---@return bpf.object? object
---@return string? message
---@return string? code
---@return string? log
---@nodiscard
function bpf.programs(programs, options) end

---Compiles one function into a BPF program, which owns its object, and loads it.
---@param section string
---@param fn function
---@param options? bpf.program.options
---@return bpf.prog? prog
---@return string? message
---@return string? code
---@return string? log
---@nodiscard
function bpf.program(section, fn, options) end

---@class bpf.assemble.options
---@field license? string "GPL" by default
---@field ctx_type? bpf.spec the context of programs of section "syscall"
---@field btf? string file with the BTF of the kernel that the programs are compiled for

---Compiles functions into the bytes of a BPF object.
---@param programs table<string, { [1]: string, [2]: function }> name → { section, function }
---@param options? bpf.assemble.options
---@return string? bytes
---@return table<string, bpf.map>|string maps or message
---@return string? code
---@nodiscard
function bpf.assemble(programs, options) end

---@class bpf.trace.options
---@field [integer] { [1]: string, [2]: string } probes and a body
---@field where? string an expression: the bodies run only where it is true
---@field pid? integer only in this process
---@field command? string|string[] started when all is ready, and traced alone
---@field follow? boolean the processes that `pid` or `command` starts are traced as well
---@field cgroup? string only in this cgroup, a folder of cgroup2, and in those below it
---@field seconds? number ends after that time
---@field interval? number seconds after which what has been gathered so far is printed, each time
---@field json? boolean all is printed as JSON objects, one a line
---@field json? boolean what was gathered is printed as JSON objects, one a line
---@field emit? string path of a script that is written in place of a run, or "-"
---@field dry_run? boolean nothing is loaded or started: the instructions of the programs are printed
---@field output? string path of a file that is written instead of stdout

---Runs a trace, as `lua-bpf trace` does.
---@param options bpf.trace.options
---@return integer? status of the command, or 0
---@return string? message
---@return string? code
---@return integer? status with which the tool would end
function bpf.trace(options) end

---Whether a struct of the kernel's has a member; for programs.
---@param struct any
---@param member string
---@param type? string of a member that the kernel to compile for lacks
---@return boolean
function bpf.has(struct, member, type) end

---@class bpf.var: table<string, any>

---Makes a global variable, for an upvalue of programs.
---@param type bpf.spec
---@param value? table
---@return bpf.var
function bpf.var(type, value) end

---The kernel's helpers, by their names without "bpf_"; for programs.
---@type table<string, fun(...: any): any>
bpf.helper = {}

---Makes a pointer to a struct of the kernel out of an address; for programs.
---@param address integer
---@param type string
---@param space? "user"|"kernel" by default where a pointer leads to
---@return any struct
function bpf.cast(address, type, space) end

---Swaps the bytes of 16 bits between the network's order and the machine's.
---@param n integer
---@return integer
function bpf.ntohs(n) end

---The same as bpf.ntohs.
---@param n integer
---@return integer
function bpf.htons(n) end

---Swaps the bytes of 32 bits.
---@param n integer
---@return integer
function bpf.ntohl(n) end

---The same as bpf.ntohl.
---@param n integer
---@return integer
function bpf.htonl(n) end

---Swaps the bytes of 64 bits.
---@param n integer
---@return integer
function bpf.be64(n) end

---@class bpf.atomic
bpf.atomic = {}

---Adds to a member of an entry in one step; for programs.
---@param struct table
---@param member string
---@param n integer
function bpf.atomic.add(struct, member, n) end

---Adds to a member in one step, and returns what it was; for programs.
---@param struct table
---@param member string
---@param n integer
---@return integer before
function bpf.atomic.fetch_add(struct, member, n) end

---Sets a member to `member & n` in one step, and returns what it was; for programs.
---@param struct table
---@param member string
---@param n integer
---@return integer before
function bpf.atomic.fetch_and(struct, member, n) end

---Sets a member to `member | n` in one step, and returns what it was; for programs.
---@param struct table
---@param member string
---@param n integer
---@return integer before
function bpf.atomic.fetch_or(struct, member, n) end

---Sets a member to `member ~ n` in one step, and returns what it was; for programs.
---@param struct table
---@param member string
---@param n integer
---@return integer before
function bpf.atomic.fetch_xor(struct, member, n) end

---Replaces a member in one step, and returns what it was; for programs.
---@param struct table
---@param member string
---@param n integer
---@return integer before
function bpf.atomic.exchange(struct, member, n) end

-- At the prompt ------------------------------------------------------------------------------------------------------

---@class bpf.inspect.options
---@field limit? integer how many entries of a map or view to show, by default 20
---@field width? integer to fit, by default that of the terminal
---@field utf8? boolean
---@field formats? table<string, string|fun(value: any): string|number?> by the names of columns
---@field sort? string a column, "-name" from the greatest on
---@field layout? bpf.type.layout of a value in C: it is shown in one line, by its types
---@field text? boolean true returns the text in place of printing it

---Shows a value: a map's entries, what an object has, what the kernel knows about a program or link.
---@param value any
---@param options? bpf.inspect.options
---@return string? text with `text = true`
function bpf.inspect(value, options) end

---A value as JSON, in one line.
---@param value any
---@param layout? bpf.type.layout
---@return string
---@nodiscard
function bpf.json(value, layout) end

-- C types -------------------------------------------------------------------------------------------------------------

---@class bpf.btf.description
---@field kind string "int", "ptr", "struct", …
---@field id integer
---@field name? string
---@field size? integer in bytes
---@field members? bpf.btf.member[]
---@field enumerators? { name: string, value?: integer, lower?: integer }[]
---@field values? table<string, integer>
---@field signed? true
---@field cut? true the BTF has the lower halves of the values only
---@field char? true
---@field bool? true
---@field bits? integer
---@field type? string what C calls the type that it leads to
---@field type_id? integer
---@field count? integer
---@field params? { name?: string, type: string, type_id: integer }[]
---@field returns? string
---@field returns_id? integer
---@field variadic? true
---@field linkage? "static"|"global"|"extern"
---@field vars? { name: string, type: string, type_id: integer, offset: integer, size: integer }[]
---@field of? "struct"|"union"
---@field component? integer

---@class bpf.btf.member
---@field name? string
---@field type string
---@field type_id integer
---@field size? integer
---@field offset integer
---@field bit_offset integer
---@field bits? integer

---@class bpf.btf: userdata
---@operator len: integer
local btf = {}

---Finds a type and describes it.
---@param which string|integer
---@param kind? string
---@return bpf.btf.description?
---@nodiscard
function btf:find(which, kind) end

---Describes what a type is behind typedefs, qualifiers and tags.
---@param which string|integer
---@return bpf.btf.description?
---@nodiscard
function btf:resolve(which) end

---Iterates over types, by rising id.
---@param kind? string
---@return fun(): bpf.btf.description?
---@nodiscard
function btf:types(kind) end

---Compiles a type of this BTF.
---@param which string|integer
---@return bpf.type
---@nodiscard
function btf:type(which) end

---The C declaration of a type.
---@param which string|integer
---@param options? { deep?: boolean }
---@return string?
---@return string? message
---@return string? code
---@nodiscard
function btf:print(which, options) end

---All types as a C header, vmlinux.h.
---@param path? string
---@return string|true|nil
---@return string? message
---@return string? code
function btf:dump(path) end

---The BTF itself, as a file has it.
---@return string?
---@return string? message
---@return string? code
---@nodiscard
function btf:bytes() end

---A number that tells this BTF from others.
---@return string?
---@return string? message
---@return string? code
---@nodiscard
function btf:hash() end

---Closes the handle; closing twice is fine.
---@return true
function btf:close() end

---@class bpf.btf.functions
bpf.btf = {}

---The running kernel's BTF.
---@return bpf.btf?
---@return string? message
---@return string? code
---@nodiscard
function bpf.btf.kernel() end

---BTF of a loaded kernel module.
---@param name string
---@return bpf.btf?
---@return string? message
---@return string? code
---@nodiscard
function bpf.btf.module(name) end

---The BTF that has an id in the kernel: of a map, a program, a module or the kernel.
---@param id integer
---@return bpf.btf?
---@return string? message
---@return string? code
---@nodiscard
function bpf.btf.by_id(id) end

---BTF of an ELF file, or of BTF alone.
---@param path string
---@param options? { base: bpf.btf? }
---@return bpf.btf?
---@return string? message
---@return string? code
---@nodiscard
function bpf.btf.file(path, options) end

---BTF of C declarations.
---@param text string
---@return bpf.btf
---@nodiscard
function bpf.btf.parse(text) end

---Compiles a C type.
---@param spec bpf.spec
---@return bpf.type
---@nodiscard
function bpf.btf.type(spec) end

---@class bpf.type: userdata
local type = {}

---The size of a value in bytes, without a flexible array at its end.
---@return integer
function type:size() end

---What C calls the type.
---@return string
function type:name() end

---Turns a Lua value into the bytes that C has for it.
---@param value any
---@return string
function type:encode(value) end

---Turns bytes into a Lua value.
---@param bytes string
---@return any
function type:decode(bytes) end

---@class bpf.type.member
---@field name string
---@field type string
---@field offset integer bytes
---@field size integer bytes
---@field bit_offset integer bits from the start of the struct
---@field bits? integer of a bit-field

---@class bpf.type.layout
---@field kind "unsigned"|"signed"|"boolean"|"float"|"string"|"bytes"|"array"|"struct"
---@field type string
---@field size integer
---@field name? string of a member
---@field element? bpf.type.layout of an array
---@field enumerators? { [integer]: string }
---@field [integer] bpf.type.layout members of a struct or union

---What values of the type consist of, at every depth.
---@return bpf.type.layout
function type:layout() end

---The members of a struct or union in declaration order.
---@return bpf.type.member[]
function type:members() end

-- Values as text ------------------------------------------------------------------------------------------------------

---@class bpf.format
bpf.format = {}

---An IPv4 address in network byte order.
---@param value integer|string|table
---@return string
function bpf.format.ipv4(value) end

---An IPv4 address as an integer of this machine.
---@param value integer
---@return string
function bpf.format.ipv4_host(value) end

---An IPv6 address in network byte order.
---@param value string|table
---@return string
function bpf.format.ipv6(value) end

---An address of either kind in network byte order.
---@param value integer|string|table
---@return string
function bpf.format.ip(value) end

---A hardware address.
---@param value string|table
---@return string
function bpf.format.mac(value) end

---A port in network byte order.
---@param value integer
---@return string
function bpf.format.port(value) end

---With sixteen as the base.
---@param value integer|string
---@return string
function bpf.format.hex(value) end

---As C's unsigned types mean it.
---@param value integer
---@return string
function bpf.format.unsigned(value) end

---The name of a network interface.
---@param ifindex integer
---@return string
function bpf.format.interface(ifindex) end

---The path of a cgroup.
---@param id integer
---@return string
function bpf.format.cgroup(id) end

---The name of a process.
---@param pid integer
---@return string
function bpf.format.process(pid) end

---The name of the kernel's function at an address.
---@param address integer
---@return string
function bpf.format.symbol(address) end

---The name of a user.
---@param uid integer
---@return string
function bpf.format.user(uid) end

---The name of an errno, whose sign doesn't matter.
---@param n integer
---@return string
function bpf.format.errno(n) end

---What a function of the kernel returned: the name of the errno for a failure, the number for all else.
---@param n integer
---@return string
function bpf.format.result(n) end

---The name of a signal.
---@param n integer
---@return string
function bpf.format.signal(n) end

---The name of a system call of this machine's.
---@param n integer
---@return string
function bpf.format.syscall(n) end

---The name of an enumerator of the running kernel's.
---@param n integer
---@param name string that of an enum, or what the names of its enumerators begin with
---@return string
function bpf.format.enum(n, name) end

---The state of a TCP socket.
---@param n integer
---@return string
function bpf.format.tcp_state(n) end

---The name of a protocol over IP.
---@param n integer
---@return string
function bpf.format.protocol(n) end

---A number in three digits and a decimal suffix.
---@param n number
---@return string
function bpf.format.count(n) end

---A number of bytes in three or four digits and a binary unit.
---@param n number
---@return string
function bpf.format.bytes(n) end

---A time span in three digits and a unit.
---@param ns number
---@return string
function bpf.format.duration(ns) end

---The time of day of a time stamp.
---@param ns integer
---@param clock? "monotonic"|"boottime"|"realtime"|"tai"
---@return string
function bpf.format.time(ns, clock) end

---@class bpf.format.column
---@field name? string the heading
---@field field? string the name in JSON, by default the heading in lower case
---@field width? integer by default that of the format, 8 without
---@field align? "left"|"right" by default right for numbers
---@field format? string|fun(value: any): string|number? the name of a function of bpf.format, or a function

---@class bpf.format.columns_options
---@field output? "text"|"csv"|"json" "text" by default
---@field file? file* standard output by default
---@field header? boolean false prints no headings
---@field width? integer to fit
---@field utf8? boolean

---A function that prints a row at each call.
---@param columns bpf.format.column[]
---@param options? bpf.format.columns_options
---@return fun(...: any): true?, string?, string? row
function bpf.format.columns(columns, options) end

-- Text for a terminal -------------------------------------------------------------------------------------------------

---@class bpf.hist
bpf.hist = {}

---Whether standard output is a terminal.
---@return boolean
function bpf.hist.terminal() end

---The width to print in, in columns.
---@return integer
function bpf.hist.width() end

---The terminal's height in lines.
---@return integer
function bpf.hist.height() end

---Whether the locale has UTF-8.
---@return boolean
function bpf.hist.utf8() end

---A line on standard error that tells how far something long has come, if that is a terminal.
---@param what string
---@return fun(count: integer) progress can be closed
function bpf.hist.progress(what) end

---A number in three digits and a decimal suffix.
---@param n number
---@return string
function bpf.hist.number(n) end

---A number of bytes in three or four digits and a binary unit.
---@param n number
---@return string
function bpf.hist.bytes(n) end

---A time in three digits and a unit.
---@param ns number
---@return string
function bpf.hist.time(ns) end

---A text in one line of a terminal, made safe and cut to a width.
---@param text string
---@param width integer
---@param unicode? boolean
---@return string
function bpf.hist.line(text, width, unicode) end

---@class bpf.hist.column
---@field name? string the heading
---@field field? any of the row, by default the column's number
---@field align? "left"|"right" by default right if all values are numbers
---@field format? string|fun(value: any, row: table): string the name of a function of bpf.format, or a function

---@class bpf.hist.table_options
---@field width? integer to fit
---@field utf8? boolean

---An aligned table.
---@param rows table[]
---@param columns bpf.hist.column[]
---@param options? bpf.hist.table_options
---@return string
function bpf.hist.table(rows, columns, options) end

---A bar of a given length.
---@param value number
---@param max number
---@param width integer
---@param unicode? boolean
---@return string
function bpf.hist.bar(value, max, width, unicode) end

---@class bpf.hist.log2_options
---@field unit? "ns"|"us"|"ms"|"s"|"B"|string
---@field title? string
---@field width? integer
---@field first? integer key of the first bucket, by default 1, and 0 for a map
---@field utf8? boolean

---A histogram whose buckets double.
---@param counts integer[]|integer[][]|bpf.map
---@param options? bpf.hist.log2_options
---@return string
function bpf.hist.log2(counts, options) end

---@class bpf.hist.linear_options: bpf.hist.log2_options
---@field step? number width of a bucket, by default 1
---@field from? number where the first one begins, by default 0

---A histogram whose buckets are equally wide.
---@param counts number[]|bpf.map
---@param options? bpf.hist.linear_options
---@return string
function bpf.hist.linear(counts, options) end

-- Statistics ----------------------------------------------------------------------------------------------------------

---@class bpf.stats: userdata
local stats = {}

---Ends the counting, unless somebody else has it on.
---@return true
function stats:close() end

---Makes the kernel count the runs of all programs and their time, for `prog:info()` and `bpf.progs()` (run_cnt, run_time_ns), until the handle is closed or collected.
---@return bpf.stats? stats
---@return string? message
---@return string? code
function bpf.enable_stats() end

---@class bpf.token: userdata
local token = {}

---The token's descriptor, for C code or another process. The token keeps it.
---@return integer
function token:fd() end

---Closes the token. What was made by it stays.
---@return true
function token:close() end

---Opens a BPF token, which stands for what a bpffs delegates to the user namespace of this process.
---@param path string where the bpffs is mounted
---@return bpf.token? token
---@return string? message
---@return string? code
function bpf.token(path) end

---Goes over what programs print with bpf_printk.
---@param timeout? integer in milliseconds to wait for the next line before the loop ends
---@return function? iterator
---@return string? message
---@return string? code
function bpf.printk(timeout) end

---@class bpf.prog.functions
bpf.prog = {}

---Opens a pinned program.
---@param path string of the pin on a bpffs
---@return bpf.prog? prog
---@return string? message
---@return string? code
function bpf.prog.open(path) end

---Makes a program the owner of its object: closing the program closes the object.
---@param prog bpf.prog
---@return bpf.prog
function bpf.prog.own(prog) end

---Opens a program by its kernel id.
---@param id integer as `prog
---@return bpf.prog? prog
---@return string? message
---@return string? code
function bpf.prog.by_id(id) end

---@class bpf.link.functions
bpf.link = {}

---Opens a pinned link.
---@param path string of the pin on a bpffs
---@return bpf.link? link
---@return string? message
---@return string? code
function bpf.link.open(path) end

---Opens a link by its kernel id.
---@param id integer as `link
---@return bpf.link? link
---@return string? message
---@return string? code
function bpf.link.by_id(id) end

-- Symbols -------------------------------------------------------------------------------------------------------------

---@class bpf.metrics.functions
bpf.metrics = {}

---@class bpf.metrics.options
---@field prefix? string what all names begin with
---@field max_series? integer of a metric, 10000 by default
---@field on_error? fun(name: string, message: string) called for a metric that failed

---A set of metrics, empty.
---@param options? bpf.metrics.options
---@return bpf.metrics
function bpf.metrics.new(options) end

---The names of an enumeration's values, for `decode`.
---@param type string
---@param btf? bpf.btf by default the kernel's
---@param prefix? string what to leave out at the names' start
---@return table<integer, string>? names
---@return string? message
---@return string? code
function bpf.metrics.enum(type, btf, prefix) end

---@alias bpf.metrics.path string|integer|fun(value: any, other: any): any a member, "remote.port", or a function

---@class bpf.metrics.label
---@field [1] string its name
---@field key? bpf.metrics.path a member of the key
---@field value? bpf.metrics.path a member of the value
---@field cpu? boolean true: the number of the CPU, of per-CPU maps
---@field decode? string|table|fun(value: any): any

---@class bpf.metrics.metric
---@field name string
---@field help? string
---@field unit? string added to the name
---@field map? bpf.map|table|fun(): bpf.map|table
---@field labels? (string|bpf.metrics.label)[]
---@field value? bpf.metrics.path what counts, by default the value itself
---@field scale? number to multiply by
---@field max_series? integer

---@class bpf.metrics.histogram: bpf.metrics.metric
---@field buckets? bpf.metrics.path the value's member that is the array of counts
---@field slot? bpf.metrics.path|true the key's member that is the slot's number
---@field sum? bpf.metrics.path
---@field sum_slot? integer the slot that has the sum in place of a count
---@field bounds? "log2"|number[]|fun(slot: integer): number
---@field first? integer the first slot to show
---@field last? integer the last slot with a bound of its own

---@class bpf.metrics.server
---@field address? string "127.0.0.1" by default
---@field port? integer 9435 by default
---@field socket? string the path of a Unix socket
---@field path? string "/metrics" by default
---@field seconds? number
---@field timeout? number seconds that a client may take, 30 by default
---@field readers? any[] readers of ring and perf buffers
---@field poll? fun(): boolean? false ends it
---@field ready? fun(address: string, port: integer?)

---@class bpf.metrics
local metrics = {}

---Adds a counter.
---@param options bpf.metrics.metric
---@return bpf.metrics
function metrics:counter(options) end

---Adds a gauge.
---@param options bpf.metrics.metric
---@return bpf.metrics
function metrics:gauge(options) end

---Adds a histogram.
---@param options bpf.metrics.histogram
---@return bpf.metrics
function metrics:histogram(options) end

---Writes all metrics.
---@param sink fun(chunk: string): any, string?, string?
---@param format? "openmetrics"|"prometheus"
---@return integer? series
---@return string? message
---@return string? code
function metrics:write(sink, format) end

---The text of all metrics.
---@param format? "openmetrics"|"prometheus"
---@return string
function metrics:text(format) end

---Writes all metrics into a file that is replaced at one stroke.
---@param path string
---@return integer? series
---@return string? message
---@return string? code
function metrics:write_file(path) end

---Answers scrapes over HTTP; needs LuaSocket.
---@param options bpf.metrics.server
---@return true? ended
---@return string? message
---@return string? code
function metrics:serve(options) end

---The functions of bpf.format, under their former name.
---@type bpf.format
bpf.metrics.decode = bpf.format

---@class bpf.symbols.functions
bpf.symbols = {}

---@class bpf.symbols.table
local symbol_table = {}

---@class bpf.symbols.frame
---@field address integer
---@field name? string
---@field offset? integer
---@field kernel? boolean
---@field module? string
---@field path? string
---@field source? string
---@field line? integer
---@field inlined? boolean
---@field mapping? bpf.symbols.mapping

---@class bpf.symbols.mapping
---@field path? string
---@field from integer
---@field to integer
---@field offset integer
---@field build_id? string

---@class bpf.symbols.stack_options
---@field folded? boolean
---@field comm? string
---@field count? integer
---@field lines? boolean

---The kernel's symbols, read once.
---@return bpf.symbols.table? symbols
---@return string? message
---@return string? code
function bpf.symbols.kernel() end

---The symbols of a process, as it is now.
---@param pid integer
---@return bpf.symbols.table? symbols
---@return string? message
---@return string? code
function bpf.symbols.process(pid) end

---An address in words: "vfs_read+0x1c", "malloc+0x20 (libc.so.6)".
---@param from bpf.symbols.table
---@param address integer
---@return string
function bpf.symbols.text(from, address) end

---The functions of a stack in the kernel and of one in a process, the innermost first.
---@param in_kernel? integer[]
---@param in_process? integer[]
---@param process? integer|bpf.symbols.table
---@return bpf.symbols.frame[]
function bpf.symbols.frames(in_kernel, in_process, process) end

---A stack in words, one line for each function; or in one line for flame graphs.
---@param in_kernel? integer[]
---@param in_process? integer[]
---@param process? integer|bpf.symbols.table
---@param options? bpf.symbols.stack_options|boolean
---@return string
---@overload fun(from: bpf.symbols.table, addresses: integer[], options?: bpf.symbols.stack_options|boolean): string
function bpf.symbols.stack(in_kernel, in_process, process, options) end

---@class bpf.pprof.functions
bpf.pprof = {}

---@class bpf.pprof.options
---@field values string[] what the numbers are: "samples/count", "cpu/nanoseconds"
---@field period? string
---@field every? integer
---@field time? integer
---@field duration? integer

---@class bpf.pprof
local pprof = {}

---A new profile, without stacks.
---@param options bpf.pprof.options
---@return bpf.pprof
function bpf.pprof.new(options) end

---Adds a stack.
---@param frames bpf.symbols.frame[]
---@param values integer[]
---@param labels? table<string, string|integer>
function pprof:add(frames, values, labels) end

---The profile as the bytes of a file.
---@return string
function pprof:bytes() end

---Writes the profile to a file.
---@param path string
---@return true? ok
---@return string? message
---@return string? code
function pprof:write(path) end

return bpf
