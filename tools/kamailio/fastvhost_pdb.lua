-- Asks fastvhost over PDB from a Kamailio script in Lua (KEMI); this one file, and LuaSocket (Debian: lua-socket).
--
--     local client = fastvhost.client({ { "127.0.0.1", 5380 } }, 0.05)    -- one for each worker
--     client:verdict("example.com", "198.51.100.7")      -- fastvhost.HOSTED, ..., or nil: no answer
--
-- Source: docs/protocol.md, "PDB".

local socket = require("socket")

local fastvhost = { HOSTED = 1, NOT_HOSTED = 2, UNDETERMINED = 3, PENDING = 4, LIMITED = 5, MALFORMED = 6 }

-- Octets of the longest name that a PDB frame has room for.
local MAX_NAME = 246

local REQUEST, REPLY = "\1\0\0", "\1\1\1"

local Client = {}
Client.__index = Client

-- servers: pairs of IPv4 or IPv6 address and port, all asked at once; timeout: seconds, for all of them.
-- Raises an error where a socket cannot be made.
function fastvhost.client(servers, timeout)
    local self = setmetatable({ timeout = timeout or 0.05, id = math.random(0, 65535), sockets = {} }, Client)
    for _, server in ipairs(servers or { { "127.0.0.1", 5380 } }) do
        local address, port = server[1], server[2]
        local udp = assert(address:find(":", 1, true) and socket.udp6() or socket.udp4())
        assert(udp:settimeout(0))
        -- A connected socket hears of a closed port at once, and only from its server.
        assert(udp:setpeername(address, port))
        table.insert(self.sockets, udp)
    end
    return self
end

-- Whether the request went out. The first error may be what is left of an earlier request.
local function send(udp, request)
    return udp:send(request) or udp:send(request)
end

-- The verdict on `host`, asked on the budget of `source`, the SIP peer's address (may be nil).
-- The first answer of any server counts; nil: none within the time-out, or no server is there. Never raises an error.
function Client:verdict(host, source)
    host = host or ""
    local name = (source and source ~= "") and (host .. " " .. source) or host
    if host == "" or host:find("[%z\1-\32]") or #name > MAX_NAME then
        return fastvhost.MALFORMED
    end
    self.id = (self.id + 1) % 65536
    local question = string.char(math.floor(self.id / 256), self.id % 256) .. name .. "\0"
    local request = REQUEST .. string.char(#question + 4) .. question
    local start = REPLY .. string.char(#question + 6) .. question
    local waiting = {}
    for _, udp in ipairs(self.sockets) do
        if send(udp, request) then
            table.insert(waiting, udp)
        end
    end
    local asked = socket.gettime()
    while #waiting > 0 do
        local passed = socket.gettime() - asked
        -- The only clock there is may be set back.
        if passed < 0 or passed >= self.timeout then
            return nil
        end
        for _, udp in ipairs(socket.select(waiting, nil, self.timeout - passed)) do
            local frame, failure = udp:receive(512)
            if frame and #frame == #start + 2 and frame:sub(1, #start) == start then
                local high, low = frame:byte(-2, -1)
                local value = high * 256 + low
                if value >= fastvhost.HOSTED and value <= fastvhost.MALFORMED then
                    return value
                end
            elseif not frame and failure ~= "timeout" then
                -- Nobody listens there: do not wait for it.
                for position, other in ipairs(waiting) do
                    if other == udp then
                        table.remove(waiting, position)
                        break
                    end
                end
            end
        end
    end
    return nil
end

function Client:close()
    for _, udp in ipairs(self.sockets) do
        udp:close()
    end
end

return fastvhost
