"""How a stream's shards are shared and read: pure decisions, one module a question.

`spans` says from where to where is read, `shards` which shards may be read now (parents before children), `leases` who
holds a shard and how far it is done, `balance` which leases a worker takes or asks for, `progress` how far a shard is
done while its records end in any order, `pacing` when it may be read again. Times and chance are arguments. Must not
know services, stores or handlers.
"""
