"""A body that belongs to another door is not stored at `/record`, and its path is named."""

from __future__ import annotations

import time

import pytest

from ingest.batch import Batch
from ingest.doors import DOORS, record
from ingest.doors.record import other_doors
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings

FORM = "application/x-www-form-urlencoded"
LINES = "application/x-ndjson"


def decode(body: bytes, content_type: str = "") -> Batch:
    return record.decode(body, content_type, int(time.time() * 1000), Rules(Settings()))


OTHER_DOORS = {
    "/sensor_data": [
        b'{"messageId":0,"sessionId":"s","deviceId":"d","payload":[{"name":"a","time":1,"values":{}}]}',
        b'[{"messageId":"1","deviceId":"d","sensors":[]}]',
    ],
    "/record/telegraf": [
        b'{"metrics":[{"fields":{"used_percent":64.58},"name":"mem","tags":{},"timestamp":1}]}',
        b'{"fields":{"usage":1.5},"name":"cpu","tags":{"host":"a"},"timestamp":1795621074}',
    ],
    "/record/thingsboard": [
        b'{"ts":1795621074000,"values":{"temp":20.4,"hum":78}}',
        b'[{"ts":1795621074000,"values":{"temp":20.4}}]',
    ],
    "/record/ttn": [
        b'{"end_device_ids":{"device_id":"e"},"uplink_message":{"decoded_payload":{"temperature":21.5}}}',
    ],
    "/record/chirpstack?event=up": [
        b'{"time":"2025-11-25T15:40:45Z","deviceInfo":{"devEui":"01"},"object":{"temperature":1}}',
    ],
    "/record/sensor-community": [
        b'{"esp8266id":"1234567","sensordatavalues":[{"value_type":"SDS_P1","value":"16.85"}]}',
    ],
    "/record/owntracks": [
        b'{"_type":"location","acc":14,"lat":48.7,"lon":9.1,"tst":1795621074,"tid":"ph"}',
        b'{"_type":"transition","event":"enter","tst":1795621074}',
    ],
    "/record/senml": [
        b'[{"bn":"urn:dev:ow:10e2:","bt":1795621074,"n":"temperature","u":"Cel","v":23.1}]',
        b'[{"n":"urn:dev:ow:10e2:t","v":23.1},{"n":"urn:dev:ow:10e2:h","vb":true}]',
    ],
    "/write or /api/v2/write": [
        b"weather,location=cellar temperature=12.5,humidity=71i 1795621074000000000\n",
        b'# a comment\n\ncpu,host=a\\ b,x=y usage="text",idle=1 1795621074\ncpu idle=2',
        b"engine temperature=92",
    ],
}  # fmt: skip
OTHER_FORMS = {
    "/record/ecowitt": b"PASSKEY=AAAA&stationtype=GW&dateutc=2025-11-25+15:40:45&tempf=79.3",
    "/weatherstation/updateweatherstation.php": b"ID=K1&PASSWORD=x&dateutc=now&tempf=70",
    "/update": b"api_key=XXXX&field1=23.5",
    "/record/torque": b"eml=a&v=8&session=1&id=ab&time=1763805600250&kc=850&k5=90",
    "/record/osmand": b"id=1&lat=48.7&lon=9.1&timestamp=1763805600&speed=3",
}


@pytest.mark.parametrize(
    ("body", "content_type", "door"),
    [
        *((body, "", door) for door, bodies in OTHER_DOORS.items() for body in bodies),
        *((OTHER_DOORS["/write or /api/v2/write"][0], kind, "/write") for kind in (FORM, "text/plain")),
        *((body, FORM, door) for door, body in OTHER_FORMS.items()),
        (OTHER_DOORS["/record/ttn"][0] + b"\n", LINES, "/record/ttn"),
    ],
)  # fmt: skip
def test_names_the_door_that_a_body_belongs_to(body: bytes, content_type: str, door: str):
    with pytest.raises(Refused) as caught:
        decode(body, content_type)
    refusal = caught.value
    assert (refusal.status, refusal.code) == (422, "other_door")
    assert f"send it to {door}" in refusal.message


def test_every_signature_is_tested():
    doors = {each.door for each in (*other_doors.OBJECTS, *other_doors.FORMS)}
    assert doors <= OTHER_DOORS.keys() | OTHER_FORMS.keys()


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"cpu","fields":3,"timestamp":1763805600}', b'{"metrics":{"x":1}}', b'{"payload":1}',
        b'{"values":{"x":1},"ts":1763805600,"device":"a"}', b'{"_type":"reading","x":1}',
        b'{"_type":7,"lat":1}', b'[{"v":1,"n":2}]', b'[{"t":1,"u":2}]', b'[{"v":230,"s":1,"bt":3}]',
        b'{"deviceInfo":{"rssi":-70},"x":1}', b'{"messageId":7,"x":1}', b'{"end_device_ids":3}',
        b'{"lat":48.7,"lon":9.1,"id":1}', b'{"tempf":1,"PASSKEY":2}', b'{"sensors":{"a":1}}',
    ],
)  # fmt: skip
def test_plain_readings_are_not_mistaken_for_another_protocol(body: bytes):
    assert decode(body).readings


def test_every_door_that_is_named_exists():
    named = {each.door.partition("?")[0] for each in (*other_doors.OBJECTS, *other_doors.FORMS)}
    served = {mount.path for door in DOORS for mount in door.mounts}
    assert named | {"/record/senml", "/write", "/api/v2/write"} <= served
