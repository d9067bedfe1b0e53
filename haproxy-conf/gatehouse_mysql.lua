-- The plaintext beginning of a MySQL connection (MySQL documentation, "Connection Phase").
--
-- The server speaks first: sends the greeting that the gatehouse daemon made (txn.gh.greeting), takes SSLRequest, and says in the variable
-- txn.gh_edge that a TLS record follows ("tls"). It decides nothing: the frontend closes every connection for which that variable does not hold
-- that word. A login without TLS gets an error that says what to do. An error in here, or an expired inspect-delay, leaves the variable unset.

local HEADER = 4
local SSL_REQUEST = 32 -- bytes of its payload
local CLIENT_PROTOCOL_41 = 0x200
local CLIENT_SSL = 0x800
local TLS_HANDSHAKE = 0x16

-- An ERR packet with the number that follows the client's.
local function error_packet(seq, code, sqlstate, message)
    local payload = "\xff" .. string.pack("<I2", code) .. "#" .. sqlstate .. message
    return string.pack("<I3B", #payload, seq) .. payload
end

-- The first n bytes, left where they are; waits for them. nil when the client closed before.
local function peek(req, n)
    local data = req:data(0, n)
    if data == nil or #data < n then
        return nil
    end
    return data
end

local function refuse(txn, answer)
    txn.res:send(answer)
    txn:done()
end

core.register_action("gatehouse_my_edge", { "tcp-req" }, function(txn)
    local req = txn.req
    local greeting = txn:get_var("txn.gh.greeting")
    if greeting == nil or #greeting < HEADER then
        return act.DENY
    end
    txn.res:send(greeting)

    local head = peek(req, HEADER + 4)
    if head == nil then
        return act.DENY
    end
    local length, seq, caps = string.unpack("<I3BI4", head)
    if seq ~= 1 or length < SSL_REQUEST or (caps & CLIENT_PROTOCOL_41) == 0 then
        return refuse(txn, error_packet(2, 1043, "08S01",
            "Bad handshake: this is a gate for MySQL's protocol, version 4.1 or later"))
    end
    if (caps & CLIENT_SSL) == 0 or length ~= SSL_REQUEST then
        return refuse(txn, error_packet(2, 3159, "HY000",
            "Connections using insecure transport are prohibited: connect with TLS (--ssl-mode=VERIFY_IDENTITY, or --ssl-verify-server-cert)," ..
            " because the password is a token and must not travel in the clear"))
    end
    if peek(req, HEADER + SSL_REQUEST) == nil then
        return act.DENY
    end
    req:remove(0, HEADER + SSL_REQUEST)
    -- No answer is due: TLS begins at once, perhaps in the same segment. Whatever else follows is no TLS record.
    local record = peek(req, 1)
    if record == nil or record:byte() ~= TLS_HANDSHAKE then
        return act.DENY
    end
    txn:set_var("txn.gh_edge", "tls")
    return act.CONTINUE
end)
