-- The plaintext beginning of a PostgreSQL connection (PostgreSQL documentation, "Frontend/Backend Protocol", "Message Flow").
--
-- Answers SSLRequest and GSSENCRequest, tells TLS and CancelRequest apart from everything else, and says what it found in the
-- variable txn.gh_edge. It decides nothing: the frontend closes every connection for which that variable does not hold one of
--   tls      SSLRequest was answered with 'S' and a TLS record follows
--   direct   a TLS record came first (the frontend then wants ALPN "postgresql")
--   cancel   the whole input is one CancelRequest of 16 bytes
-- An error in here, or an expired inspect-delay, leaves the variable unset.

local SSL_REQUEST = 80877103
local GSSENC_REQUEST = 80877104
local CANCEL_REQUEST = 80877102
local CANCEL_BYTES = 16
local TLS_HANDSHAKE = 0x16

-- An ErrorResponse; each field is a type byte and a C string.
local function error_response(sqlstate, message, hint)
    local fields = "SFATAL\0VFATAL\0C" .. sqlstate .. "\0M" .. message .. "\0H" .. hint .. "\0\0"
    return "E" .. string.pack(">I4", #fields + 4) .. fields
end

local TLS_REQUIRED = error_response("28000", "TLS is required (sslmode=require)",
    "Connect with sslmode=require or stronger: the password is a token and must not travel in the clear.")
local PIPELINED = error_response("08P01", "unencrypted data after SSLRequest",
    "A client waits for the answer to SSLRequest before it sends more. Something on the way may have added bytes.")
local TWICE = error_response("08P01", "GSSENCRequest was already answered",
    "Go on with SSLRequest.")

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

core.register_action("gatehouse_pg_edge", { "tcp-req" }, function(txn)
    local req = txn.req
    local gss_answered = false

    while true do
        local first = peek(req, 1)
        if first == nil then
            return act.DENY
        end
        if first:byte() == TLS_HANDSHAKE then
            txn:set_var("txn.gh_edge", "direct")
            return act.CONTINUE
        end

        local head = peek(req, 8)
        if head == nil then
            return act.DENY
        end
        local length, code = string.unpack(">I4I4", head)

        if length == 8 and code == SSL_REQUEST then
            if req:input() ~= 8 then
                return refuse(txn, PIPELINED)
            end
            req:remove(0, 8)
            txn.res:send("S")
            local record = peek(req, 1)
            if record == nil or record:byte() ~= TLS_HANDSHAKE then
                return act.DENY
            end
            txn:set_var("txn.gh_edge", "tls")
            return act.CONTINUE
        elseif length == 8 and code == GSSENC_REQUEST then
            if gss_answered then
                return refuse(txn, TWICE)
            end
            if req:input() ~= 8 then
                return refuse(txn, PIPELINED)
            end
            gss_answered = true
            req:remove(0, 8)
            txn.res:send("N")
        elseif length == CANCEL_BYTES and code == CANCEL_REQUEST then
            if peek(req, CANCEL_BYTES) == nil or req:input() ~= CANCEL_BYTES then
                return act.DENY
            end
            txn:set_var("txn.gh_edge", "cancel")
            return act.CONTINUE
        else
            return refuse(txn, TLS_REQUIRED)
        end
    end
end)
