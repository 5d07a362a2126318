"""The console's JSON: what its page may ask of a running local cloud, and what it may do.

Same origin only: a request with another Origin is refused (403). A refusal is `{"error": "<a sentence>"}` with a 4xx,
or 503 while the cloud is still starting. Times are `..._ms`: milliseconds since 1970 with fractions.

    GET /config.json
        {"local": true, "region": "us-east-1",
         "model": "scripted" | "embedded" | "openai",
         "endpoints": {"aws": URL, "console": URL, <lower-case logical id of an API or Function URL>: URL, ...},
         "functions": {<logical id>: <name>, ...},
         "outputs": {<name>: <value>, ...}}          URLs end in no slash; those of WebSocket APIs begin with ws://

    POST /api/token  {"subject"?: "developer"}       the body may be left out; subject: 1 to 128 characters
        {"token": "eyJ...", "expires_s": 3600, "subject": "developer"}      good for so many seconds from now
        404 where the template names no token issuer

    GET /api/traces?n=100                            n: 1 to 500; latest first
        {"traces": [{"trace": "1-...", "name": "POST /jobs", "kind": "gateway", "start_ms": 1.5,
                     "duration_ms": 20.25 | null while a span of it runs, "status": "ok" | "error", "spans": 7}, ...]}

    GET /api/traces/{trace}                          spans by start; 404 where it is not, or no longer, known
        {"trace": "1-...", "spans": [SPAN, ...], "links": ["1-...", ...]}
        A function that took a batch of messages has the trace of the first; the traces of the others hold a link, and
        its spans are in their answers too: those have another "trace". "links" names these other traces.

    SPAN
        {"trace": "1-...", "id": "16 hex digits", "parent": "16 hex digits" | null, "kind": KIND, "name": "...",
         "start_ms": 1.5, "end_ms": 2.5 | null while it runs, "status": "ok" | "error", "detail": {...}}

    KIND       name                        detail, each where it applies
    gateway    POST /jobs, $connect, ask   api (its id), stage, request_id, status_code; route, connection
    queue      the queue, or the function  message_id, receive, dead_letter; attempt of an asynchronous invocation
    function   its name                    request_id, cold_start, error_type, asynchronous; batch_size
    init       its function's name
    model      ConverseStream              model, status_code, first_token_ms, input_tokens, output_tokens, stop_reason
    call       DynamoDB PutItem            service, operation, status_code, error_code
        Never a prompt, an answer, a token, a body, a path with values or a query.

    GET /api/logs?function=READJOB&n=200             n: 1 to 1000; all functions where none is named; oldest first
        {"logs": [LOG, ...]}
    LOG {"function": <logical id>, "stream": "...", "timestamp_ms": 1, "message": "text" | null, "record": {...} | null}
        a line that is a JSON object is `record`, any other is `message`

    GET /api/connections
        {"connections": [CONNECTION, ...]}           by time of connection
    CONNECTION {"id": "...", "api": "<its name in endpoints>", "stage": "...", "caller": "<principal>" | null,
                "connected_ms": 1.5, "last_active_ms": 2.5, "buffered_bytes": 0, "messages_in": 1, "messages_out": 2}

    DELETE /api/connections/{id}                     204; cuts the socket, with no close frame; 404 where it is not open

    GET /api/events                                  server-sent events, from now on
        event: span         data: SPAN               when it begins, when it ends; the later one replaces the earlier
        event: log          data: LOG
        event: connection   data: CONNECTION + {"event": "opened" | "closed" | "counters"}; counters each 250 ms at most
        event: dropped      data: {"count": 3}       the reader was too slow and missed so many: ask again above
"""
