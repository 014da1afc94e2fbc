"""Tables that need an option are refused with it; with it, they have the values expected."""

from __future__ import annotations

import pytest
from support.datasets import read, surveyed

from tributary.errors import Misconfigured

T = "2025-11-25T15:22:0"


@pytest.mark.parametrize(
    ("data", "options", "remedy"),
    [
        (f"time,spot,v\n{T}1,cellar,1\n{T}2,attic,2\n", {}, "--device-column 'spot'"),
        (f"time,device,kind,v\n{T}1,a,in,1\n{T}1,a,roof,2\n", {}, "--device-column 'kind'"),
        (f"time,type,v\n{T}1,cellar,1\n{T}2,roof,2\n", {}, "--device-column 'type'"),
        (f"time,loc_code,v\n{T}1,17,1\n{T}2,19,2\n", {}, "--device-column 'loc_code'"),
        ("t [s],v\n0,1\n1,2\n", {}, "--start"),
        (f"time,station,sensor,v\n{T}1,a,x,1\n{T}1,a,y,2\n{T}1,b,x,2\n", {}, "--device-column, or give --device"),
        (f"time,device,v\n{T}1,Büro 1,1\n{T}2,Buro-1,1\n", {}, "--device NAME"),
        (f"time,device,v\n{T}1,温度,1\n", {}, "--device NAME"),
        (f"time,v\n{T}1,1\n", {"device": "my car"}, "such as my-car"),
        (f"time\tv\n{T}1\t1,234\n", {}, "--decimal"),
        (f"time;v;w\n{T}1;1,234;0.5\n", {}, "--decimal"),
        (f"time,v\n{T}1,21.5\n{T}2,-999\n", {}, "--missing -999"),
        (f"time,v\n{T}1,21.5\n{T}2,-200\n", {}, "--missing none"),
        (f"time,speed [°C]\n{T}1,21.5\n", {}, "--map 'speed [°C]=METRIC'"),
        (f"{T}1,5\n{T}2,6\n", {}, "--columns"),
        (f"time,v\n{T}1,5,1\n{T}2,6,2\n", {}, "--columns"),
        (f"v,time\nr1,5,{T}1,\nr2,6,{T}2,\n", {}, "--columns"),
        (f"time,v\n{T}1,5\n", {"columns": ("a", "b", "c")}, "--columns names 3 columns"),
        (f"time,note\n{T}1,hello\n", {"device": "x"}, "no column becomes a metric"),
        (f"time,name,value\n{T}1,Otto,1\n{T}2,Anna,2\n", {}, "--metric-column 'name'"),
        (f"time,field,parameter,value\n{T}1,a,x,1\n{T}2,b,y,2\n", {}, "--metric-column"),
        (f"time,pid,value\n{T}1,rpm,1\n{T}2,RPM,2\n", {}, "--map"),
        (f"time,v\n{T}1,1\n", {"value_column": "v"}, "--metric-column"),
        (f"time,v\n{T}1,1\n", {"names": {"w": "x"}}, "did you mean v?"),
        (f"time,v\n{T}1,1\n", {"device_column": "w"}, "did you mean v?"),
        (f"time,v\n{T}1,1\n", {"names": {"v": "9"}}, "not a valid metric name"),
        ("[1]\n", {}, "one object per line"),
        ("<html>\n", {}, "save the table as CSV"),
        ("", {}, "the file is empty"),
        ("time,v\n1999-01-01T00:00:00Z,1\n", {}, "before 2000-01-01"),
    ],
)  # fmt: skip
def test_a_doubt_is_refused_with_the_option(data: str, options: dict, remedy: str):
    with pytest.raises(Misconfigured) as error:
        surveyed(data.encode(), **options)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (f"time,v\n{T}1,-200\n{T}2,1\n", {"missing": ("-200",)}, [{"v": 1.0}]),
        (f"time,v\n{T}1,-999\n{T}2,1\n", {"missing": ("none",)}, [{"v": -999.0}, {"v": 1.0}]),
        (f"{T}1,5\n", {"columns": ("time", "speed")}, [{"speed": 5.0}]),
        (f"a\nb\ntime,v\n{T}1,5\n", {"skip_lines": 2}, [{"v": 5.0}]),
        (f"time,v\n{T}1,5\n% x\n{T}2,6\n", {"comment": "%"}, [{"v": 5.0}, {"v": 6.0}]),
        (f"time,temperature,humidity\n,°F,%\n{T}1,68,40\n", {}, [{"temperature": 20.0, "humidity": 40.0}]),
        (f"time,temperature,unit\n{T}1,68,F\n{T}2,20,C\n", {}, [{"temperature": 20.0}, {"temperature": 20.0}]),
        (f"time,temperature\n{T}1,68 °F\n{T}2,68F\n", {}, [{"temperature": 20.0}, {"temperature": 20.0}]),
        (f"time,rpm,engine_rpm\n{T}1,1,2\n", {}, [{"rpm": 1.0, "engine_rpm": 2.0}]),
        (f"time,Speed (GPS),Speed (OBD)\n{T}1,1,2\n", {}, [{"speed_gps": 1.0, "speed_obd": 2.0}]),
        (f"time,serial,firmware_code,v\n{T}1,20110512,7,1\n{T}2,20110512,7,2\n", {}, [{"v": 1.0}, {"v": 2.0}]),
        (f"time,v\nr1,{T}1,1\nr2,{T}2,2\n", {}, [{"v": 1.0}, {"v": 2.0}]),
        (f"time,v,\n{T}1,1,\n", {}, [{"v": 1.0}]),
        (f"time,v\n{T}1,1,\n{T}2,2,\n", {}, [{"v": 1.0}, {"v": 2.0}]),
        (f"time,v\n{T}1,1\n,2\n", {}, [{"v": 1.0}]),
        (f"time,v\n{T}1,1\ntime,v\n{T}2,2\n", {}, [{"v": 1.0}, {"v": 2.0}]),
        (f"time;door\n{T}1;offen\n{T}2;geschlossen\n", {}, [{"door": 1.0}, {"door": 0.0}]),
        (f"time,who,speed,temp\n{T}1,x1,1,2\n", {"device_column": "who", "names": {"temp": "t", "speed": ""}}, [{"t": 2.0}]),
        (f"time,type,v\n{T}1,cellar,1\n{T}2,roof,2\n", {"names": {"type": ""}}, [{"v": 1.0}, {"v": 2.0}]),
        (f"time;v;w\n{T}1;1.234;5,5\n", {"decimal": ","}, [{"v": 1234.0, "w": 5.5}]),
        (f"_time,_field,_value\n{T}1,temperature,21.5\n", {}, [{"temperature": 21.5}]),
        # The columns of `tributary export`: nothing is renamed, converted or missing.
        (f"device,recorded_at,metric,value\na,{T}1Z,Temp_F,1.234\na,{T}2Z,Gyro.x,-999\n", {}, [{"Temp_F": 1.234}, {"Gyro.x": -999.0}]),
        (f"device,recorded_at,metric,value\na,{T}1Z,Temp,-999\na,{T}2Z,Temp,5\n", {"missing": ("-999",), "names": {"Temp": "t"}}, [{"t": 5.0}]),
        (f"device,recorded_at,metric,value\na,{T}1Z,Air Temp,5\n", {}, [{"air_temp": 5.0}]),
    ],
)  # fmt: skip
def test_the_values_of_a_table(data: str, options: dict, expected: list[dict]):
    found = [row.reading for row in read(data.encode(), **options) if row.reading]
    bare = [{k: v for k, v in r.items() if k not in ("device", "recorded_at")} for r in found]
    assert bare == expected
