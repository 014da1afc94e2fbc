"""Files as loggers, spreadsheets, databases and apps write them, and the readings they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.datasets import CATALOGUE, readings, surveyed

from tributary.errors import Misconfigured
from tributary.load import Options, survey_all
from tributary.model.reading import rfc3339

T = "2025-11-25T15:22:0"
RACE = """This file is created by an app\nFormat,3\nSession title,"Spa"\nSession type,Lap timing
Track name,"Spa"\nCreated,15/10/2025,14:22\nNote,\n
timestamp,elapsed_time,speed,rpm\nunix time,s,m/s,rpm\n,,100: gps,200: obd
1760538120.125,0.125,20.0,4000\n1760538120.225,0.225,21.0,4100\n"""
TOA5 = """"TOA5","CR1000","12345","Table1"\n"TIMESTAMP","RECORD","Batt_V","RH"\n"TS","RN","Volts","%"
"","","Avg","Smp"\n"2025-11-25 15:22:01",0,12.9,45\n"2025-11-25 15:22:02",1,12.9,"NAN"\n"""
BUOY = """#YY  MM DD hh mm WSPD ATMP\n#yr  mo dy hr mn m/s  degC
2025 11 25 15 22  5.5 12.1\n2025 11 25 15 32  5.6 12.2\n"""
PSQL = f""" recorded_at          | v \n----------------------+---\n {T}1  | 1\n {T}2  | 2\n(2 rows)\n"""
SENSOR = f"time,sensor,value\n{T}1,temperature,21.5\n{T}1,humidity,45\n{T}2,temperature,21.6\n"
TORQUE = """GPS Time,Device Time,Engine RPM(rpm)
Sat Nov 25 15:22:01 GMT+02:00 2025,25-Nov-2025 15:22:01.125,800
Sat Nov 25 15:22:01 GMT+02:00 2025,25-Nov-2025 15:22:01.625,801\n"""


def two(times: tuple[str, str], column: str = "time") -> str:
    return f"{column};v\n{times[0]};1\n{times[1]};2\n"


@pytest.mark.parametrize(
    ("data", "options", "at", "expected"),
    [
        (RACE, {}, "2025-10-15T14:22:00.125Z", {"speed": 72.0, "engine_rpm": 4000.0}),
        (TOA5, {}, "2025-11-25T15:22:01.000Z", {"batt_v": 12.9, "rh": 45.0}),
        (BUOY, {}, "2025-11-25T15:22:00.000Z", {"wspd": 5.5, "atmp": 12.1}),
        (PSQL, {}, "2025-11-25T15:22:01.000Z", {"v": 1.0}),
        (f"| time | v |\n|---|---|\n| {T}1 | 1 |\n", {}, "2025-11-25T15:22:01.000Z", {"v": 1.0}),
        (TORQUE, {}, "2025-11-25T13:22:01.125Z", {"engine_rpm": 800.0}),
        (SENSOR, {}, "2025-11-25T15:22:01.000Z", {"temperature": 21.5}),
        (f"Sensor;Zeit;Wert;Einheit\nTemperatur;{T}1;21,5;°C\nFeuchte;{T}1;45;%\n", {}, "2025-11-25T15:22:01.000Z", {"temperatur": 21.5}),
        (f"node,sensor,time,value\na,temperature,{T}1,1\nb,temperature,{T}1,2\na,rh,{T}1,3\n", {}, "2025-11-25T15:22:01.000Z", {"device": "a", "temperature": 1.0}),
        (f'time,v,w\n{T}1,"1,234.5","12,345"\n', {}, "2025-11-25T15:22:01.000Z", {"v": 1234.5, "w": 12345.0}),
        (f"time;lat\n{T}1;52,123\n", {}, "2025-11-25T15:22:01.000Z", {"lat": 52.123}),
        (f'{{"time":"{T}1","v":NaN,"w":1}}\n', {}, "2025-11-25T15:22:01.000Z", {"w": 1.0}),
        ("date,hour,minute,second,v\n2025-11-25,15,22,1,1\n2025-11-25,15,22,2,2\n", {}, "2025-11-25T15:22:01.000Z", {"v": 1.0}),
        ("year,month,day,hour,minute,second,v\n2025,11,25,15,22,1.5,1\n", {}, "2025-11-25T15:22:01.500Z", {"v": 1.0}),
        (f"time,pressure hPa,Vehicle speed mph\n{T}1,1013,60\n", {}, "2025-11-25T15:22:01.000Z", {"pressure": 1013.0, "speed": 96.56064}),
        (f"time;speed;speed_unit\n{T}1;60;mph\n{T}2;61;mph\n", {}, "2025-11-25T15:22:01.000Z", {"speed": 96.56064}),
        (two(("25NOV2025:15:22:01", "25NOV2025:15:22:02")), {}, "2025-11-25T15:22:01.000Z", {}),
        (two(("2025-11-25 15:22:01.5 +0000 UTC", "2025-11-25 15:22:02 +0000 UTC")), {}, "2025-11-25T15:22:01.500Z", {}),
        (f"rpm     time\n1894,2  {T}1\n250,3   {T}2\n", {}, "2025-11-25T15:22:01.000Z", {"engine_rpm": 1894.2}),
        ("start_ts,v\n1764084121.0,1\n1764084122.0,2\n", {}, "2025-11-25T15:22:01.000Z", {"v": 1.0}),
        (two(("25 de noviembre de 2025 15:22", "26 de diciembre de 2025 15:22")), {}, "2025-11-25T15:22:00.000Z", {}),
        (two(("25/Nov/2025:15:22:01 +0100", "25/Nov/2025:15:22:02 +0100")), {}, "2025-11-25T14:22:01.000Z", {}),
        (two(("2025-11-25_15-22-01", "2025-11-25_15-22-02")), {}, "2025-11-25T15:22:01.000Z", {}),
        (two(("2025. 11. 25. 15:22:01", "2025. 11. 25. 15:22:02")), {}, "2025-11-25T15:22:01.000Z", {}),
        (two(("Tue Nov 25 2025 15:22:01 GMT+0100 (CE Time)",) * 2), {}, "2025-11-25T14:22:01.000Z", {}),
        (two(("2025-07-25 15:22", "2025-07-25 15:23"), "Time (Europe/Berlin)"), {}, "2025-07-25T13:22:00.000Z", {}),
        (two(("2025-07-25 15:22", "2025-07-25 15:23"), "Time (+01:00)"), {}, "2025-07-25T14:22:00.000Z", {}),
        (two(("2025-07-25 15:22", "2025-07-25 15:23"), "Time (CST)"), {"timezone": "America/Chicago"}, "2025-07-25T20:22:00.000Z", {}),
        (two(("2025-07-25 15:22 CET", "2025-07-25 15:23 CET")), {"timezone": "Europe/Berlin"}, "2025-07-25T13:22:00.000Z", {}),
        (two(("00:01.50", "00:02.50")), {"start": "2025-10-05T00:00:00Z"}, "2025-10-05T00:00:01.500Z", {}),
        (two(("1021", "2021"), "millis"), {"start": "2025-10-05T00:00:00Z"}, "2025-10-05T00:00:01.021Z", {}),
        ("Datum;Zeit;v\n25.11.2025;15.22;1\n", {"time_columns": ("Datum", "Zeit")}, "2025-11-25T15:22:00.000Z", {}),
    ],
)  # fmt: skip
def test_the_first_reading(data: str, options: dict[str, Any], at: str, expected: dict[str, Any]):
    found = readings(data.encode(), "data.ndjson" if data[0] == "{" else "data.csv", **options)
    assert rfc3339(found[0]["recorded_at"]) == at
    assert {key: found[0][key] for key in expected} == expected


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (two(("2025-07-25 15:22", "2025-07-25 15:23"), "Time (CET)"), "--timezone"),
        (two(("2025-07-25 15:22 CET", "2025-07-25 15:23 CET")), "CET is not the same offset"),
        (two(("2025-11-25 15:22 EST", "2025-11-25 15:23 EST")), "--timezone"),
        (two(("2025-11-25 15:22 CST", "2025-11-25 15:23 CST")), "--timezone"),
        (two(("3846928921.5", "3846928922.5")), "all times are in the future"),
        (f"time,sensor,value\n{T}1,temperature,1\n{T}1,motion,0\n", "--metric-column 'sensor'"),
        (f"device,time,v\n1.0,{T}1,5\n2.0,{T}1,6\n", "--device-column 'device'"),
        (f"time,foo,v\n{T}1,1,5.5\n{T}1,2,6.5\n{T}2,1,5.5\n{T}2,2,6\n", "--device-column 'foo'"),
        (f"time,v\n{T}1,21.5\n{T}2,9999\n", "--missing 9999"),
        (f"time,v\n{T}1,21.5\n{T}2,65535\n", "--missing 65535"),
        (f"time,v\n{T}1,21.5\n{T}2,-127\n", "--missing -127"),
        (f"time,v,w\n{T}1,1,-999\n{T}2,2,-999\n", "--missing -999"),
        (f"time,tz,v\n{T}1,EST,1\n{T}2,EST,2\n", "--timezone"),
        (f"time,serial,v\n{T}1,A123,1\n{T}1,A124,2\n", "--device-column 'serial'"),
        (f"time;v;w\n{T}1;1,234;2.345\n", "--decimal"),
        (
            "date,time,v\n2025-11-25T00:00:00,15:22,1\n2025-11-26T00:00:00,15:23,2\n",
            "--time-column 'time'",
        ),
        (f"time,metric,value\n{T}1,v,21.5\n{T}2,v,-999\n", "--missing -999"),
        (f"time,lat,N/S\n{T}1,33.5,S\n{T}2,33.6,S\n", "--map 'lat='"),
        (f"time,latitude\n{T}1,33.5S\n{T}2,33.6S\n", "--map 'latitude='"),
        (f"time,v\n{T}1,1\n{T}2,2\ntime,w\n{T}3,3\n" * 9, "split the file"),
        (f"Time zone: UTC+02:00\n\ntime,v\n{T}1,1\n{T}2,2\n", "--timezone"),
        (f"time,temperature\n{T}1,295.1\n{T}2,295.2\n", "--map 'temperature=temperature'"),
        (f"time,temperature\n{T}1,21.5\n{T}2,Err\n{T}2,OL\n", "--missing 'Err'"),
    ],
)
def test_a_doubt_names_the_option(data: str, remedy: str):
    with pytest.raises(Misconfigured) as error:
        surveyed(data.encode())
    assert remedy in str(error.value)


def test_files_without_numbers_are_left_out_and_all_doubts_are_listed(tmp_path: Path):
    for name, data in (("a", f"time,v\n{T}1,1\n"), ("b", ""), ("c", "hello world\nnot numbers\n")):
        (tmp_path / f"{name}.csv").write_text(data)
    sources, left_out = survey_all([tmp_path], Options(device="x"), CATALOGUE)
    assert ([source.name for source in sources], len(left_out)) == (["a.csv"], 2)
    for name in ("d", "e"):
        (tmp_path / f"{name}.csv").write_text("t [s],v\n0,1\n1,2\n")
    with pytest.raises(Misconfigured) as error:
        survey_all([tmp_path], Options(device="x"), CATALOGUE)
    assert str(error.value).count("--start") == 2
    assert "pass the other files only" in str(error.value)


def test_times_before_the_year_1_are_skipped():
    data = "".join(f"2025-11-25T15:22:{n:02d}Z,1\n" for n in range(20))
    assert len(readings(f"time,v\n{data}0001-01-01T00:00:00+05:00,2\n".encode())) == 20
