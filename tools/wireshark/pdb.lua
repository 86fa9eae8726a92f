-- A Wireshark dissector of PDB version 1, the protocol of Kamailio's module `pdb` (docs/protocol.md).
--
--   tshark -X lua_script:tools/wireshark/pdb.lua -i lo -f 'udp port 5380'
--   tshark -X lua_script:tools/wireshark/pdb.lua -r calls.pcap -2 -Y "pdb.value != 1" -T fields -e pdb.host -e pdb.value
--   wireshark -X lua_script:tools/wireshark/pdb.lua calls.pcap
--
-- Other ports: -o pdb.port:5380,5390, or Decode As (-d udp.port==5390,pdb). Nothing is guessed on other ports.
--
-- Root may be denied scripts: by the setting run_user_scripts_when_superuser in /etc/wireshark/init.lua. Debian 12
-- allows them (4.0.17). Elsewhere set it to true, or capture as root and read the file as somebody else.

local TYPES = { [0] = "request", [1] = "reply" }
local REQUEST, REPLY = 0, 1

-- Kamailio, src/modules/pdb/common.h.
local CODES = { [0] = "default", [1] = "OK", [2] = "not a number", [3] = "not found" }

-- fastvhost/model.py, VerdictKind.
local VERDICTS = {
    [0] = "an error to the client",
    [1] = "HOSTED",
    [2] = "NOT_HOSTED",
    [3] = "UNDETERMINED",
    [4] = "PENDING",
    [5] = "LIMITED",
    [6] = "MALFORMED",
}

local HEADER_OCTETS = 6
local VALUE_OCTETS = 2
local MAX_NAME = 246

local pdb = Proto("pdb", "PDB (Kamailio pdb version 1)")

local field = {
    version = ProtoField.uint8("pdb.version", "Version"),
    type = ProtoField.uint8("pdb.type", "Type", base.DEC, TYPES),
    code = ProtoField.uint8("pdb.code", "Code", base.DEC, CODES),
    length = ProtoField.uint8("pdb.length", "Length", base.DEC, nil, nil, "All octets of the frame"),
    id = ProtoField.uint16("pdb.id", "Id", base.HEX),
    name = ProtoField.string("pdb.name", "Name", base.UNICODE, "HOST or HOST SOURCE"),
    host = ProtoField.string("pdb.host", "Host", base.UNICODE),
    source = ProtoField.string("pdb.source", "Source", base.UNICODE, "The SIP peer's address"),
    value = ProtoField.int16("pdb.value", "Value", base.DEC, VERDICTS),
    response_in = ProtoField.framenum("pdb.response_in", "Reply in", base.NONE, frametype.RESPONSE),
    request_in = ProtoField.framenum("pdb.request_in", "Request in", base.NONE, frametype.REQUEST),
    time = ProtoField.relative_time("pdb.time", "Time since the request"),
}
pdb.fields = field

local function malformed(name, text)
    return ProtoExpert.new("pdb.malformed." .. name, text, expert.group.MALFORMED, expert.severity.ERROR)
end

local mistake = {
    short = malformed("short", "Shorter than header, name and value need"),
    version = malformed("version", "Not version 1"),
    type = malformed("type", "Neither request (0) nor reply (1)"),
    code = malformed("code", "A request has code 0, a reply 1 to 3"),
    length = malformed("length", "The length is not that of the frame"),
    name = malformed("name", "The name is over 246 octets"),
    nul = malformed("nul", "The first NUL does not end the name"),
    value = malformed("value", "Value 0 is an error to the client"),
}
local note = {
    code = ProtoExpert.new("pdb.refused", "An error to the client; fastvhost never sends it",
        expert.group.RESPONSE_CODE, expert.severity.WARN),
    value = ProtoExpert.new("pdb.unknown_value", "No verdict has this value",
        expert.group.PROTOCOL, expert.severity.WARN),
    id = ProtoExpert.new("pdb.other_id", "Not the request's id; Kamailio takes it nevertheless",
        expert.group.SEQUENCE, expert.severity.NOTE),
    unasked = ProtoExpert.new("pdb.unasked", "No open request for this name; Kamailio may take it for the next one",
        expert.group.SEQUENCE, expert.severity.NOTE),
}
pdb.experts = {
    mistake.short, mistake.version, mistake.type, mistake.code, mistake.length, mistake.name, mistake.nul,
    mistake.value, note.code, note.value, note.id, note.unasked,
}

pdb.prefs.port = Pref.range("UDP ports", "5380", "Where PDB servers listen", 65535)

-- What the first pass over a capture finds; frames are dissected again in any order.
local open = {} -- endpoints and name -> the latest request that has no reply: its frame, time and id
local answered = {} -- the request's frame -> the reply's frame
local asked = {} -- the reply's frame -> its request, or false

function pdb.init()
    open, answered, asked = {}, {}, {}
end

-- Kamailio takes the first reply with the name that it asked for, whatever its id. The server is part of the key because
-- several are asked at once.
local function key(client, client_port, server, server_port, name)
    return ("%s %d %s %d %s"):format(client, client_port, server, server_port, name)
end

local function remember_request(pinfo, name, id)
    open[key(tostring(pinfo.src), pinfo.src_port, tostring(pinfo.dst), pinfo.dst_port, name)] =
        { frame = pinfo.number, time = pinfo.rel_ts, id = id }
end

local function remember_reply(pinfo, name)
    local asking = key(tostring(pinfo.dst), pinfo.dst_port, tostring(pinfo.src), pinfo.src_port, name)
    local request = open[asking]
    open[asking] = nil
    asked[pinfo.number] = request or false
    if request then
        answered[request.frame] = pinfo.number
    end
end

local function add_request_links(tree, pinfo)
    local reply = answered[pinfo.number]
    if reply then
        tree:add(field.response_in, reply):set_generated()
    end
end

local function add_reply_links(tree, pinfo, id)
    local request = asked[pinfo.number]
    if not request then
        tree:add_proto_expert_info(note.unasked)
        return
    end
    tree:add(field.request_in, request.frame):set_generated()
    local elapsed = pinfo.rel_ts - request.time
    local seconds = math.floor(elapsed)
    tree:add(field.time, NSTime.new(seconds, math.floor((elapsed - seconds) * 1e9 + 0.5))):set_generated()
    if id ~= request.id then
        tree:add_proto_expert_info(note.id)
    end
end

-- Adds the fixed octets. True where they are those of version 1.
local function add_header(tree, tvb)
    local sound = true
    local function check(good, item, which)
        if not good then
            item:add_proto_expert_info(which)
            sound = false
        end
    end
    local kind, code = tvb(1, 1):uint(), tvb(2, 1):uint()
    check(tvb(0, 1):uint() == 1, tree:add(field.version, tvb(0, 1)), mistake.version)
    check(TYPES[kind] ~= nil, tree:add(field.type, tvb(1, 1)), mistake.type)
    local code_item = tree:add(field.code, tvb(2, 1))
    if kind == REPLY and (code == 2 or code == 3) then
        code_item:add_proto_expert_info(note.code)
    else
        check(code == kind, code_item, mistake.code)
    end
    check(tvb(3, 1):uint() == tvb:reported_len(), tree:add(field.length, tvb(3, 1)), mistake.length)
    tree:add(field.id, tvb(4, 2))
    return sound
end

-- Adds HOST and SOURCE. Returns the name as text, and whether a frame may carry it.
local function add_name(tree, tvb, octets, ended)
    local range = tvb(HEADER_OCTETS, octets)
    local item = tree:add_packet_field(field.name, range, ENC_UTF_8)
    local raw = range:raw()
    local space = raw:find(" ", 1, true)
    item:add_packet_field(field.host, range(0, space and space - 1 or octets), ENC_UTF_8)
    if space and space < octets then
        item:add_packet_field(field.source, range(space, octets - space), ENC_UTF_8)
    end
    if octets > MAX_NAME then
        item:add_proto_expert_info(mistake.name)
    end
    if not ended then
        item:add_proto_expert_info(mistake.nul)
    end
    -- What a column is given must be UTF-8.
    local text = range:string(ENC_UTF_8) == raw and raw or raw:gsub("[\128-\255]", "?")
    return text, ended and octets <= MAX_NAME
end

local function add_value(tree, range)
    local value = range:int()
    local item = tree:add(field.value, range)
    if value == 0 then
        item:add_proto_expert_info(mistake.value)
    elseif not VERDICTS[value] then
        item:add_proto_expert_info(note.value)
    end
    return VERDICTS[value] or ("value %d"):format(value)
end

local function add_links(tree, pinfo, kind, name, id)
    -- An ICMP error quotes a request, which is not asked a second time.
    if pinfo.in_error_pkt then
        return
    end
    if kind == REQUEST then
        if not pinfo.visited then
            remember_request(pinfo, name, id)
        end
        add_request_links(tree, pinfo)
    else
        if not pinfo.visited then
            remember_reply(pinfo, name)
        end
        add_reply_links(tree, pinfo, id)
    end
end

-- Adds everything. Returns the summary, and whether the frame is PDB version 1.
local function add_frame(tree, pinfo, tvb)
    local octets = tvb:len()
    if octets < tvb:reported_len() then
        return "cut short by the capture", true
    end
    if octets < HEADER_OCTETS then
        tree:add_proto_expert_info(mistake.short)
        return "", false
    end
    local sound = add_header(tree, tvb)
    local kind = tvb(1, 1):uint()
    local name_octets = octets - HEADER_OCTETS - 1 - (kind == REPLY and VALUE_OCTETS or 0)
    if name_octets < 0 then
        tree:add_proto_expert_info(mistake.short)
        return TYPES[kind] or "", false
    end
    -- Lua counts from 1.
    local ended = tvb:raw():find("\0", HEADER_OCTETS + 1, true) == HEADER_OCTETS + name_octets + 1
    local name, text = "", ""
    if name_octets > 0 then
        name = tvb:raw(HEADER_OCTETS, name_octets)
        local allowed
        text, allowed = add_name(tree, tvb, name_octets, ended)
        sound = sound and allowed
    elseif not ended then
        tree:add_proto_expert_info(mistake.nul)
        sound = false
    end
    local summary = ("%s %s"):format(TYPES[kind] or "type " .. kind, text)
    if kind == REPLY then
        summary = summary .. ": " .. add_value(tree, tvb(octets - VALUE_OCTETS, VALUE_OCTETS))
    end
    if sound then
        add_links(tree, pinfo, kind, name, tvb(4, 2):uint())
    end
    return summary, sound
end

function pdb.dissector(tvb, pinfo, root)
    pinfo.cols.protocol = "PDB"
    local tree = root:add(pdb, tvb())
    local summary, sound = add_frame(tree, pinfo, tvb)
    if not sound then
        summary = "malformed " .. summary
    end
    -- A name from outside is no command to a terminal.
    summary = summary:gsub("%c", "?")
    pinfo.cols.info = summary
    tree:append_text(", " .. summary)
    return tvb:len()
end

local udp_ports = DissectorTable.get("udp.port")
local listening = pdb.prefs.port
udp_ports:add(listening, pdb)

function pdb.prefs_changed()
    if listening ~= pdb.prefs.port then
        udp_ports:remove(listening, pdb)
        listening = pdb.prefs.port
        udp_ports:add(listening, pdb)
    end
end
