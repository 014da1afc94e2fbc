"""Weather stations: Ecowitt, Ambient and the protocol of Weather Underground."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.door_requests import NOW_MS, parse, readings, status_of
from support.processes import ROOT
from support.waiting import wait_until
from support.webs import Web

from ingest.doors.ecowitt import EcowittDoor
from ingest.doors.weather_underground import WeatherUndergroundDoor
from ingest.limits import Rules
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.settings import Settings

ECOWITT, WUNDERGROUND = EcowittDoor(), WeatherUndergroundDoor()
DOCUMENTED = (ROOT / "tests/data/ecowitt_gw2000.txt").read_bytes()
WU_PATH = "/weatherstation/updateweatherstation.php"
TIME_MS = 1_764_084_121_000  # 2025-11-25T15:22:01Z

# What the fields of that body are in the units of the catalogue.
STORED = {
    "indoor_temperature": 21.3889, "indoor_humidity": 45, "pressure": 1013.242,
    "absolute_pressure": 998.985, "temperature": 10, "humidity": 80,
    "vapor_pressure_deficit": 0.2472, "wind_direction": 270, "wind_speed": 1.99827,
    "wind_gust": 4.001, "wind_gust_max_daily": 10.0003, "solar_radiation": 123.45, "uv_index": 1,
    "rain_rate_piezo": 2.54, "rain_event_piezo": 5.08, "rain_daily_piezo": 7.62,
    "rain_weekly_piezo": 10.16, "rain_monthly_piezo": 25.4, "rain_yearly_piezo": 254,
    "srain_piezo": 1, "rain_rate": 1.27, "rain_event": 2.54, "rain_hourly": 0.254,
    "rain_24h": 12.7, "rain_daily": 6.35, "rain_weekly": 25.4, "rain_monthly": 50.8,
    "rain_yearly": 508, "rain_total": 1016, "temperature_1": 5, "humidity_1": 70,
    "temperature_8": -10, "humidity_8": 95, "soil_moisture_1": 33, "soilad1": 215,
    "probe_temperature_1": 13, "co2_temperature": 22.2778, "co2_humidity": 44, "pm25_co2": 3.2,
    "pm25_24h_co2": 2.9, "pm10_co2": 4.1, "co2": 612, "co2_24h": 590, "pm25_ch1": 5,
    "pm25_avg_24h_ch1": 6.1, "lightning_distance": 12, "lightning_num": 3, "leak_ch1": 0,
    "leafwetness_ch1": 12, "wh65batt": 0, "wh90batt": 3.14, "ws90cap_volt": 5.2, "wh57batt": 5,
    "soilbatt1": 1.5, "pm25batt1": 5, "batt1": 0, "co2_batt": 6, "tf_batt1": 1.6,
}  # fmt: skip


def test_an_upload_with_the_documented_fields():
    batch = parse(ECOWITT, DOCUMENTED)
    assert batch.ignored == ["newsensorf"]  # a new sensor, in a unit that is not certain
    [reading] = readings(batch)
    assert reading[:2] == ("0F1E2D3C4B5A69788796A5B4C3D2E1F0", TIME_MS)
    assert reading.metrics == pytest.approx(STORED, rel=1e-4)


def test_the_upload_of_weather_underground():
    """With the fields of its documentation."""
    query = (
        "ID=KCASANFR5&PASSWORD=XXXXXX&dateutc=2025-11-25+15%3A22%3A01&winddir=230&windspeedmph=12"
        "&windgustmph=12&tempf=70&rainin=0.1&baromin=29.1&dewptf=68.2&humidity=90&weather=&clouds="
        "&softwaretype=vws%20versionxx&action=updateraw&indoortempf=68&indoorhumidity=40&UV=5"
        "&solarradiation=300&soiltempf=50&soiltemp2f=59&soilmoisture=20&temp2f=41&dailyrainin=1"
        "&AqPM2.5=7.5&visibility=10&realtime=1&rtfreq=2.5"
    )
    [reading] = readings(parse(WUNDERGROUND, b"", query))
    assert reading[:2] == ("KCASANFR5", TIME_MS)
    assert reading.metrics == pytest.approx(
        {
            "wind_direction": 230, "wind_speed": 5.36448, "wind_gust": 5.36448,
            "temperature": 21.1111, "rain_hourly": 2.54, "pressure": 985.439, "dew_point": 20.1111,
            "humidity": 90, "indoor_temperature": 20, "indoor_humidity": 40, "uv_index": 5,
            "solar_radiation": 300, "soil_temperature": 10, "soil_temperature_2": 15,
            "soil_moisture": 20, "temperature_2": 5, "rain_daily": 25.4, "pm25": 7.5,
        },
        rel=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2025-11-25+15:22:01", TIME_MS),
        ("2025-11-25+15%3A22%3A01", TIME_MS),
        ("2025-11-25%2015:22:01", TIME_MS),
        ("2025-11-25%2B15:22:01", TIME_MS),
        ("2025-11-25T15:22:01Z", TIME_MS),
        ("2025-11-25T16:22:01+01:00", TIME_MS),
        ("2025-1-5+9:3:1", 1_736_067_781_000),
        ("1764084121", TIME_MS),
        ("now", NOW_MS),
        ("", NOW_MS),
    ],
)
def test_times_are_utc(text: str, time_ms: int):
    body = f"PASSKEY=a&tempf=50&dateutc={text}"
    assert [reading.time_ms for reading in readings(parse(ECOWITT, body.encode()))] == [time_ms]
    assert [r.time_ms for r in readings(parse(ECOWITT, b"", body))] == [time_ms]


@pytest.mark.parametrize(
    ("body", "metrics"),
    [
        ("tempf=32&tempinf=-9999&humidity=-9999.0", {"temperature": 0}),
        ("TEMPF=32&Uv=3", {"temperature": 0, "uv_index": 3}),
        ("tempf=32&humidity=--&baromrelin=&temp3f=N/A", {"temperature": 0}),
        ("tempf=32&rainin=1&hourlyrainin=1.0", {"temperature": 0, "rain_hourly": 25.4}),
        ("co2in=700&co2in_24h=650&pm25_in=4&pm25_in_24h=5&battin=1&batt_co2=1&aqi_pm25_in=9",
         {"co2in": 700, "co2in_24h": 650, "pm25_in": 4, "pm25_in_24h": 5, "battin": 1, "batt_co2": 1,
          "aqi_pm25_in": 9}),
        ("soilhum2=30&soiltemp2f=50&temp10f=50&humidity10=5",
         {"soil_moisture_2": 30, "soil_temperature_2": 10, "temperature_10": 10, "humidity_10": 5}),
        # An unknown field is stored only if its name has no unit.
        ("brandnew=5&brand-new2=6&tempf_avg=70&otherin=1&gustmph9=3&snowmm=3&bgt=80&lightning_distance=3",
         {"brandnew": 5, "brand_new2": 6}),
    ],
)  # fmt: skip
def test_fields(body: str, metrics: dict[str, float]):
    [reading] = readings(parse(ECOWITT, f"PASSKEY=a&{body}".encode()))
    assert reading.metrics == pytest.approx(metrics)


def test_an_older_ambient_console_sends_its_mac():
    [reading] = readings(parse(ECOWITT, b"", "&MAC=00:0E:C6:20:0F:7B&tempf=32"))
    assert reading[::2] == ("00:0E:C6:20:0F:7B", {"temperature": 0})


def test_more_metrics_than_a_reading_may_have_are_several_readings():
    body = "&".join(
        ["PASSKEY=a", "dateutc=2025-11-25 15:22:01", *(f"m{n}={n}" for n in range(150))]
    )
    batch = parse(ECOWITT, body.encode())
    found = readings(batch)
    assert [(r.time_ms, len(r.metrics)) for r in found] == [
        (TIME_MS, 64),
        (TIME_MS, 64),
        (TIME_MS, 22),
    ]
    assert batch.is_batch
    assert not parse(ECOWITT, b"PASSKEY=a&m=1").is_batch


@pytest.mark.parametrize(
    ("body", "query", "status", "code", "field"),
    [
        ("", "", 422, "missing_device", "PASSKEY"),
        ("tempf=50", "", 422, "missing_device", "PASSKEY"),
        ("PASSKEY=&tempf=50", "", 422, "missing_device", "PASSKEY"),
        ("PASSKEY=a&MAC=b&tempf=50", "", 422, "ambiguous_field", "MAC"),
        ("PASSKEY=a b&tempf=50", "", 422, "invalid_device", "device"),
        ("PASSKEY=a", "", 422, "no_metrics", None),
        ("PASSKEY=a&tempf=-9999&newf=1", "", 422, "no_metrics", None),
        ("PASSKEY=a&tempf=50&tempf=51", "", 400, "duplicate_name", "tempf"),
        ("PASSKEY=a&tempf=50", "tempf=51", 400, "duplicate_name", "tempf"),
        ("PASSKEY=a&rainin=1&hourlyrainin=2", "", 422, "ambiguous_field", "hourlyrainin"),
        ("PASSKEY=a&tempf=50&dateutc=yesterday", "", 422, "invalid_time", "dateutc"),
        ("PASSKEY=a&tempf=50&dateutc=2025-13-25+15:22:01", "", 422, "invalid_time", "dateutc"),
        ("PASSKEY=a&tempf=50&dateutc=2099-01-01+00:00:00", "", 422, "in_future", "dateutc"),
        ("PASSKEY=a&tempf=50&dateutc=1970-01-01+00:00:05", "", 422, "in_past", "dateutc"),
        ("", "PASSKEY=a&tempf=50&tempf=50", 400, "duplicate_name", "tempf"),
        ("PASSKEY=a&tempf=1e999", "", 422, "out_of_range", "temperature"),
        ("PASSKEY=a&" + "x" * 65 + "=1", "", 422, "invalid_metric", "x" * 65),
        ('{"PASSKEY":"a","tempf":50}', "", 400, "not_a_form", None),
        ("hello", "", 400, "not_a_form", None),
        ("PASSKEY=%ff&tempf=1", "", 400, "bad_encoding", None),
        ("PASSKEY=a&" + "&".join(f"m{n}=1" for n in range(1024)), "", 422, "too_many_fields", None),
        ("&" * 2049 + "PASSKEY=a&m=1", "", 422, "too_many_fields", None),
    ],
)
def test_errors(body: str, query: str, status: int, code: str, field: str | None):
    with pytest.raises(Refused) as caught:
        parse(ECOWITT, body.encode(), query)
    assert (caught.value.status, caught.value.code, caught.value.field) == (status, code, field)


def test_the_catalogue_decides_the_unit(tmp_path_factory: pytest.TempPathFactory):
    file = tmp_path_factory.mktemp("catalogue") / "metrics.toml"
    file.write_text(
        '[temperature]\nunit = "degF"\n[wind_speed]\nunit = "kn"\n[humidity]\nunit = "degC"'
    )
    rules = Rules(Settings(metrics_file=str(file)))
    body = b"PASSKEY=a&tempf=50&temp2f=51&windspeedmph=23.0156&baromrelin=29.53"
    [reading] = readings(parse(ECOWITT, body, rules=rules))
    assert reading.metrics == pytest.approx(
        {"temperature": 50, "temperature_2": 51, "wind_speed": 20, "pressure": 1000}, rel=1e-4
    )
    with pytest.raises(Refused, match="degC") as caught:
        parse(ECOWITT, b"PASSKEY=a&humidity=5", rules=rules)
    assert (caught.value.code, caught.value.field) == ("unit_mismatch", "humidity")


_names = st.sampled_from(["PASSKEY", "ID", "dateutc", "tempf", "rainin", "hourlyrainin", "x"])
_fields = st.dictionaries(
    _names | st.text(max_size=3), st.sampled_from("15a") | st.text(max_size=4)
)


@given(st.binary() | _fields.map(lambda f: urlencode(f).encode()))
def test_any_body_is_stored_or_rejected(body: bytes):
    assert 200 <= status_of(ECOWITT, body) < 500
    assert 200 <= status_of(WUNDERGROUND, b"", body.decode("latin-1")) < 500


def test_uploads_over_http(web: Web, accepted: Callable[[], int]):
    before = accepted()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/record/ecowitt", "/data/report/", "/data/report"):
        reply = web.ask("POST", path, DOCUMENTED, **form)
        assert (reply.status, reply.json) == (200, {"success": True, "ignored": ["newsensorf"]})
    assert web.get("/data/report/?PASSKEY=a&tempf=50").json == {"success": True}
    assert web.get("/data/report/?PASSKEY=a&tempf=50&dateutc=2025-11-25%2015:22:01").status == 200
    reply = web.get(f"{WU_PATH}?ID=a&PASSWORD=x&tempf=50&dateutc=now")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert accepted() == before + 6
    assert web.get(f"{WU_PATH}?ID=a&PASSWORD=x").code == "no_metrics"


def test_a_key_identifies_a_query_string(web: Web, accepted: Callable[[], int]):
    before, key = accepted(), {"Idempotency-Key": f"station-{web.port}"}
    for _ in range(2):
        assert web.get("/data/report/?PASSKEY=a&tempf=50", **key).status == 200
    assert web.get("/data/report/?PASSKEY=a&tempf=51", **key).code == "key_reused"
    assert accepted() == before + 1


def test_the_token_is_in_the_password_and_in_no_log(web: Web, web_client: redis.Redis):
    secret = tokens.create(web_client, Token("garden", "", "garden", ("record",), 0))
    upload = f"{WU_PATH}?ID=garden&tempf=50&PASSWORD="
    try:
        wait_until(lambda: web.get(upload + "my-secret").status == 401, "tokens to be required")
        assert web.get(upload + secret).status == 200
        assert web.get(upload, secret).status == 200
        assert web.get(f"{upload}&token={secret}").status == 200
        assert web.get(f"{WU_PATH}?ID=cellar&tempf=50&PASSWORD={secret}").code == "wrong_device"
        assert web.get(f"/data/report/?token={secret}&PASSKEY=garden&tempf=50").status == 200
        form = f"PASSKEY=garden&tempf={quote('50')}".encode()
        assert web.ask("POST", f"/record/ecowitt?token={secret}", form).status == 200
        assert web.ask("POST", "/record/ecowitt", form).status == 401
        assert secret not in web.process.text
        assert "my-secret" not in web.process.text
    finally:
        tokens.revoke(web_client, "garden")
        wait_until(lambda: web.get(upload + "my-secret").status == 200, "no tokens")
