"""The MQTT bridge: messages of a broker to readings, acknowledged once Redis has them.

`mapping` and `formats` decide what a message means, `session` speaks MQTT, `inbox` keeps what is
not acknowledged, and `recorder` appends it to the streams with the rules of `ingest`.
"""
