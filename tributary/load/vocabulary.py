"""Words in column names and cells, in the languages of common loggers and spreadsheets."""

from __future__ import annotations

import re


def _ranked(words: str) -> dict[str, int]:
    return {word: number for number, word in enumerate(words.split())}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Common names of columns → metrics of the catalogue.
METRICS = {
    "engine_coolant_temp": "engine_temperature",
    "engine_coolant_temperature": "engine_temperature",
    "coolant_temp": "engine_temperature",
    "coolant_temperature": "engine_temperature",
    "engine_temp": "engine_temperature",
    "rpm": "engine_rpm",
    "engine_speed_rpm": "engine_rpm",
    "vehicle_speed": "speed",
}
SOURCES = frozenset(("gps", "obd", "obd2", "obdii", "ecu", "can"))

# The most likely first.
DEVICES = _ranked("""
    device dev device_id deviceid device_name devicename device_label dev_id dev_eui deveui vehicle_id
    vehicle vehicle_name vin car_id car car_name truck truck_id fahrzeug fahrzeug_id kennzeichen
    license_plate licence_plate machine_id machine maschine maschine_id anlage asset asset_id thing
    thing_id entity_id entity node node_id nodeid node_name mote mote_id moteid sensor_id sensorid
    sensor sensor_name sensorname mac mac_address macaddress imei uid module module_id
    gateway gateway_id station_id stationid station station_name site_id site messstelle messstation
    meter_id meter meter_name zaehler zahler zahlernummer zaehlernummer gerat geraet gerate_id
    geraet_id gerate_name geraetename geratename appareil capteur dispositivo sensore sonde
    apparaat enhet enhed urzadzenie logger logger_id logger_name probe probe_id tracker tracker_id
    unit_id host hostname location location_id location_name standort ort room room_id room_name
    raum zimmer zone zone_id building building_id gebaude
""")
DEVICE = re.compile(
    r"(?:device|vehicle|sensor|node|mote|station|meter|machine|logger|gateway|module|tracker|probe"
    r"|sonde|entity|asset|thing|car|truck|geraet|gerat|fahrzeug|zaehler|zahler|maschine)s?_?"
    r"(?:id|ids|name|no|nr|num|number|nummer|mac|serial|key|code|label|tag|uid|uuid|eui|address"
    r"|identifier|bezeichnung|kennung|nom|nombre|nome|navn|namn|naam)"
)
TIMES = _ranked("""
    recorded_at timestamp timestamps time datetime date_time time_stamp ts measured_at measurement_time
    date zeitstempel zeitpunkt datum_zeit datum_uhrzeit datumzeit datum zeit uhrzeit messzeit
    messzeitpunkt horodatage date_heure heure fecha_hora fecha hora data_ora data_hora ora
    datumtijd tijdstip tijd tidpunkt tidspunkt tid dato czas epoch unix_time unixtime unix
    epoch_time time_ms time_s utc utc_time time_utc timestamp_utc date_utc datetime_utc
    local_time device_time gps_time gpstime sample_time log_time logged_at observed_at event_time
    noted_at noted_date taken_at created_at createdat created sent_at received_at last_changed
    last_updated updated_at seconds millis milliseconds seconds_elapsed elapsed_time elapsed
    time_elapsed
""")
TIME = re.compile(
    r"(?:[a-z0-9]+_)*(?:timestamp|datetime|date_time|time_stamp|zeitstempel|zeitpunkt|datum"
    r"|uhrzeit|messzeit)(?:_(?:utc|gmt|local|ms|s|us|ns|sec|iso|unix))?"
    r"|(?:gps|device|local|server|log|logger|sample|sensor|record|recording|measure|measurement"
    r"|event|system|utc|gmt|unix|epoch|phone|reading|data|obs|observation|creation|local|start)"
    r"_(?:time|date)(?:_(?:utc|gmt|local|ms|s|us|ns|sec|iso|unix|millis))?"
    r"|(?:[a-z0-9]+_)+ts|(?:time|ts|date|epoch)_(?:utc|gmt|local|ms|s|us|ns|sec|secs|seconds|millis|iso|unix)"
    r"|[a-z]+ed_(?:at|on|date)"
)
ZONES = _ranked("timezone time_zone tz zeitzone utc_offset tz_offset gmt_offset recording_timezone")
YEARS = _ranked("year jahr yyyy yr yy annee ano anno jaar rok ar")
MONTHS = _ranked("month monat mois mes mese maand mon mo mm miesiac maned manad")
DAYS = _ranked("day tag jour dia giorno dag day_of_month dzien dd")
HOURS = _ranked("hour stunde heure hora ora uur hr hh std timme time_hour")
MINUTES = _ranked("minute minuten minuto minuut min mins mm mn")
SECONDS = _ranked("second sekunde seconde segundo secondo sec secs")

QUANTITIES = _ranked("""
    metric metric_name pid parameter param variable variable_name quantity measurement_type
    sensor_type measurand measurement measure field signal signal_name attribute property key
    messgrosse messgroesse messwert_name grosse groesse kenngrosse parametre variabele grandeur
    parametro magnitud magnitude grandezza observation observed_property item topic channel kanal
    tag tag_name type name indicator
""")
VALUES = _ranked("""
    value val state wert messwert reading result valeur valor valore waarde varde verdi vaerdi
    wartosc value_raw numeric_value measured_value measurement data
""")
UNITS = _ranked("""
    unit units unit_of_measurement uom einheit unite unidad unita eenheid enhed enhet jednostka
    tempunit
""")
UNIT = re.compile(r"(?:(?P<about>.+)_)?(?:units?|einheit|uom|unite|unidad)(?:_of_measurement)?")
ROW_NUMBERS = _words("""
    id index idx n no nr num number nummer ord order row row_id rowid row_number seq
    sequence record record_number entry entry_id unnamed_0 index_level_0 column_1 count counter lfd_nr
    zeile
""")
IDENTIFIERS = _words("""
    id uuid guid serial seriennummer imei imsi iccid mac plz zip zipcode postcode phone ean
    isbn eui serialnumber
""")
IDENTIFIER = re.compile(r"(?:serial|article|part|order|customer|batch|firmware)_?(?:no|nr|number)$")
CODES = _words("""
    serial code codes firmware fw version ver id model modell key nr no number nummer key
    type typ channel kanal port
""")
CATEGORIES = _words("code id key no nr channel kanal port kennzahl label")
TROUBLE_CODES = _words("""
    trouble_codes trouble_code dtc dtc_number dtc_codes
""")
DEGREES = {"latitude": 90.0, "lat": 90.0, "longitude": 180.0, "lon": 180.0, "lng": 180.0}
# Text columns under these names describe a row; they do not divide rows into devices.
DESCRIPTIONS = re.compile(
    r"(?:.*_)?(?:status|state|zustand|mode|modus|note|notes|comment|comments|kommentar|bemerkung"
    r"|remark|remarks|message|msg|error|errors|fehler|warning|weather|wetter|description|desc"
    r"|beschreibung|quality|flag|flags|firmware|version|unit|units|einheit|weekday|wochentag"
    r"|fuel_type|conditions?|summary|timezone|tz|trouble_codes?|url|platform|os|attributes"
    r"|uuid|guid|hash|token|season|day_of_week|holiday)|dtc.*"
)
STATES = _words("""
    in out on off ok okay fail failed error warning alarm idle running stopped charging
    discharging heating cooling auto manual active inactive online offline open closed true
    false yes no good bad low high normal none up down home away not_home ein aus an ja nein
""")

TRUE = _words("""
    true on yes open opened wahr ein an ja offen geoffnet geöffnet vrai oui sí si aan
    waar ouvert ouverte abierto abierta aperto aperta
""")
FALSE = _words("""
    false off no closed close falsch aus nein zu geschlossen faux non uit onwaar fermé
    ferme fermée fermee cerrado cerrada chiuso chiusa
""")
MISSING = frozenset((
    "", "-", "--", "---", "?", "??", "na", "n/a", "n.a.", "#n/a", "nan", "nil", "none", "null",
    "nodata", "no data", "missing", "unavailable", "unknown", "undefined", "∞", "-∞", "inf",
    "-inf", "+inf", "infinity", "-infinity", "*", "***", "#div/0!", "#value!", "#ref!", "leer",
    "k.a.", "k. a.", "<null>", "\\n", ".", "…", "\u2013", "\u2014",
))  # fmt: skip
MONTH_NAMES: dict[str, int] = {}
for _number, _names in enumerate((
    "jan january januar janvier janv enero ene gennaio gen januari janeiro stycznia sty jänner",
    "feb february februar februari février fevrier févr fevr fév febrero febbraio fevereiro fev lut",
    "mar march märz maerz mrz mär mars marzo maart mrt março marca marts",
    "apr april avril avr abril abr aprile kwi",
    "may mai mayo maggio mag mei maj maio",
    "jun june juni juin junio giugno giu junho cze",
    "jul july juli juillet juil julio luglio lug julho lip",
    "aug august août aout agosto ago augustus augusti sie",
    "sep sept september septembre septiembre settembre set setembro wrz",
    "oct october oktober okt octobre octubre ottobre ott outubro out paź paz",
    "nov november novembre noviembre novembro lis",
    "dec december dezember dez décembre decembre déc diciembre dic dicembre desember des dezembro gru",
), 1):  # fmt: skip
    MONTH_NAMES.update(dict.fromkeys(_names.split(), _number))
ABBREVIATIONS_MIN = {
    "z": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 60, "cet": 60, "mez": 60, "cest": 120,
    "mesz": 120, "eet": 120, "eest": 180, "msk": 180, "mdt": -360, "pdt": -420,
}  # fmt: skip
# Abbreviations that are also written during summer time, and those of several zones.
WINTER_ZONES = _words("wet cet mez eet")
SHARED_ZONES = _words("""
    est edt cst cdt mst pst akst akdt hst ast adt nst ist bst aest aedt acst acdt awst jst kst sgt
    hkt pht wib nzst nzdt sast brt art clt cat wat eat gst pkt
""")
# Words in the names of quantities, so that a column of them names metrics, not devices.
QUANTITY_WORDS = re.compile(
    r"temp|humid|feucht|press|druck|speed|geschwindigkeit|rpm|drehzahl|volt|spannung|current|strom"
    r"|amp|power|leistung|energ|co2|pm_?(?:1|2|10)|lux|light|licht|illum|rain|regen|wind|batt|level"
    r"|fuel|torque|load|last|flow|durchfluss|weight|gewicht|noise|radiation|voc|rssi|snr|altitude"
    r"|lat|lon|accel|gyro|distance|throttle|frequen|vibration|moist|soil|uv|ph$|weather|heart|maf"
)
# A name of such words, one of the first set among them, is that of a quantity, not of a device.
QUANTITIES_ALONE = _words("""
    temperature temperatur temperatura temp tmp humidity humidite humedad umidita vochtigheid hum
    rh luftfeuchte luftfeuchtigkeit feuchte feuchtigkeit pressure druck luftdruck pression presion
    pressione druk press co2 voc tvoc iaq pm pm1 pm2 pm25 pm10 no2 o3 so2 nh3 speed geschwindigkeit
    vitesse velocidad velocita snelheid rpm drehzahl voltage volt spannung tension tensione
    spanning current strom courant corriente corrente stroom power leistung puissance potencia
    potenza vermogen energy energie energia illuminance lux light licht helligkeit luminosity rain
    regen niederschlag pluie lluvia windspeed wind battery batterie bateria level torque flow
    durchfluss debit weight gewicht poids noise rssi snr altitude latitude longitude lat lon
    acceleration frequency frequenz taupunkt dewpoint radiation moisture conductivity ph turbidity
    vibration battery_voltage co throttle
""")
QUANTITY_PARTS = _words("""
    air relative absolute engine oil coolant fuel dew point solar uv index soil relativ relative
    ambient mean avg min max 1 2 5 10 0 gust direction water wasser luft motor
""")
STRONG_QUANTITIES = 20  # names ranked below are only used for quantities
