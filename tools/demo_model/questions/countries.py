"""Checks of answers that list countries, with a table of capitals of its own.

The table is apart from the one that the corpus is made of, so that a wrong fact there shows.
Countries on two continents stand under both.
"""

from __future__ import annotations

import re

from .items import Check

_TABLE = {
    "Africa": """
        Algeria: Algiers; Angola: Luanda; Benin: Porto-Novo; Botswana: Gaborone;
        Burkina Faso: Ouagadougou; Burundi: Gitega/Bujumbura; Cameroon: Yaoundé/Yaounde;
        Cape Verde/Cabo Verde: Praia; Central African Republic: Bangui; Chad: N'Djamena;
        Comoros: Moroni; Democratic Republic of the Congo/Democratic Republic of Congo: Kinshasa;
        Republic of the Congo/Republic of Congo/Congo: Brazzaville; Djibouti: Djibouti;
        Egypt: Cairo; Equatorial Guinea: Malabo; Eritrea: Asmara;
        Eswatini/Swaziland: Mbabane/Lobamba; Ethiopia: Addis Ababa; Gabon: Libreville;
        The Gambia/Gambia: Banjul; Ghana: Accra; Guinea: Conakry; Guinea-Bissau: Bissau;
        Ivory Coast/Côte d'Ivoire: Yamoussoukro; Kenya: Nairobi; Lesotho: Maseru;
        Liberia: Monrovia; Libya: Tripoli; Madagascar: Antananarivo; Malawi: Lilongwe;
        Mali: Bamako; Mauritania: Nouakchott; Mauritius: Port Louis; Morocco: Rabat;
        Mozambique: Maputo; Namibia: Windhoek; Niger: Niamey; Nigeria: Abuja; Rwanda: Kigali;
        São Tomé and Príncipe/Sao Tome and Principe: São Tomé/Sao Tome; Senegal: Dakar;
        Seychelles: Victoria; Sierra Leone: Freetown; Somalia: Mogadishu;
        South Africa: Pretoria/Cape Town/Bloemfontein; South Sudan: Juba; Sudan: Khartoum;
        Tanzania: Dodoma; Togo: Lomé/Lome; Tunisia: Tunis; Uganda: Kampala; Zambia: Lusaka;
        Zimbabwe: Harare""",
    "Asia": """
        Afghanistan: Kabul; Armenia: Yerevan; Azerbaijan: Baku; Bahrain: Manama;
        Bangladesh: Dhaka; Bhutan: Thimphu; Brunei: Bandar Seri Begawan; Cambodia: Phnom Penh;
        China: Beijing; Cyprus: Nicosia; Egypt: Cairo; Georgia: Tbilisi; India: New Delhi/Delhi;
        Indonesia: Jakarta/Nusantara; Iran: Tehran; Iraq: Baghdad; Israel: Jerusalem;
        Japan: Tokyo; Jordan: Amman; Kazakhstan: Astana/Nur-Sultan; Kuwait: Kuwait City;
        Kyrgyzstan: Bishkek; Laos: Vientiane; Lebanon: Beirut; Malaysia: Kuala Lumpur/Putrajaya;
        Maldives: Malé/Male; Mongolia: Ulaanbaatar/Ulan Bator; Myanmar: Naypyidaw/Nay Pyi Taw;
        Nepal: Kathmandu; North Korea: Pyongyang; Oman: Muscat; Pakistan: Islamabad;
        Palestine: Ramallah/East Jerusalem; Philippines: Manila; Qatar: Doha; Russia: Moscow;
        Saudi Arabia: Riyadh; Singapore: Singapore; South Korea: Seoul;
        Sri Lanka: Sri Jayawardenepura Kotte/Colombo/Kotte; Syria: Damascus; Taiwan: Taipei;
        Tajikistan: Dushanbe; Thailand: Bangkok; East Timor/Timor-Leste: Dili;
        Turkey/Türkiye: Ankara; Turkmenistan: Ashgabat;
        United Arab Emirates: Abu Dhabi; Uzbekistan: Tashkent; Vietnam: Hanoi;
        Yemen: Sanaa/Sana'a""",
    "Europe": """
        Albania: Tirana; Andorra: Andorra la Vella; Armenia: Yerevan; Austria: Vienna;
        Azerbaijan: Baku; Belarus: Minsk; Belgium: Brussels; Bosnia and Herzegovina: Sarajevo;
        Bulgaria: Sofia; Croatia: Zagreb; Cyprus: Nicosia; Czech Republic/Czechia: Prague;
        Denmark: Copenhagen; Estonia: Tallinn; Finland: Helsinki; France: Paris;
        Georgia: Tbilisi; Germany: Berlin; Greece: Athens; Hungary: Budapest;
        Iceland: Reykjavik/Reykjavík; Ireland: Dublin; Italy: Rome; Kazakhstan: Astana/Nur-Sultan;
        Kosovo: Pristina; Latvia: Riga; Liechtenstein: Vaduz; Lithuania: Vilnius;
        Luxembourg: Luxembourg/Luxembourg City; Malta: Valletta; Moldova: Chisinau/Chișinău;
        Monaco: Monaco; Montenegro: Podgorica; Netherlands: Amsterdam; North Macedonia: Skopje;
        Norway: Oslo; Poland: Warsaw; Portugal: Lisbon; Romania: Bucharest; Russia: Moscow;
        San Marino: San Marino; Serbia: Belgrade; Slovakia: Bratislava; Slovenia: Ljubljana;
        Spain: Madrid; Sweden: Stockholm; Switzerland: Bern; Turkey/Türkiye: Ankara;
        Ukraine: Kyiv/Kiev; United Kingdom: London; Vatican City: Vatican City""",
    "North America": """
        Antigua and Barbuda: Saint John's/St. John's; The Bahamas/Bahamas: Nassau;
        Barbados: Bridgetown; Belize: Belmopan; Canada: Ottawa; Costa Rica: San José/San Jose;
        Cuba: Havana; Dominica: Roseau; Dominican Republic: Santo Domingo;
        El Salvador: San Salvador; Grenada: Saint George's/St. George's;
        Guatemala: Guatemala City; Haiti: Port-au-Prince; Honduras: Tegucigalpa;
        Jamaica: Kingston; Mexico: Mexico City; Nicaragua: Managua; Panama: Panama City;
        Saint Kitts and Nevis: Basseterre; Saint Lucia: Castries;
        Saint Vincent and the Grenadines: Kingstown; Trinidad and Tobago: Port of Spain;
        United States of America/United States/USA: Washington""",
    "South America": """
        Argentina: Buenos Aires; Bolivia: Sucre/La Paz; Brazil: Brasília/Brasilia;
        Chile: Santiago; Colombia: Bogotá/Bogota; Ecuador: Quito; Guyana: Georgetown;
        Paraguay: Asunción/Asuncion; Peru: Lima; Suriname: Paramaribo; Uruguay: Montevideo;
        Venezuela: Caracas""",
    "Oceania": """
        Australia: Canberra; Fiji: Suva; Kiribati: Tarawa/South Tarawa; Marshall Islands: Majuro;
        Micronesia: Palikir; Nauru: Yaren; New Zealand: Wellington; Palau: Ngerulmud;
        Papua New Guinea: Port Moresby; Samoa: Apia; Solomon Islands: Honiara;
        Tonga: Nuku'alofa; Tuvalu: Funafuti; Vanuatu: Port Vila""",
}


def _capitals(table: str) -> dict[str, set[str]]:
    """The capitals under each name of a country."""
    rows = [row.split(":") for row in table.split(";")]
    return {
        name.strip(): {city.strip() for city in cities.split("/")}
        for names, cities in rows
        for name in names.split("/")
    }


_BY_CONTINENT = {continent: _capitals(table) for continent, table in _TABLE.items()}
_ALL = {name: cities for part in _BY_CONTINENT.values() for name, cities in part.items()}
_NAMES = sorted({*_ALL, *(city for cities in _ALL.values() for city in cities)}, key=len)
# the longest name first: Guinea-Bissau is not Guinea
_MENTION = re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(name) for name in _NAMES[::-1])})(?!\w)")


def pairs_listed(count: int, continent: str = "") -> Check:
    """Exactly so many different countries are named, each beside its capital."""
    allowed = _BY_CONTINENT[continent] if continent else _ALL

    def check(text: str) -> bool:
        names = _MENTION.findall(text)
        countries = set()
        for first, second in zip(names[::2], names[1::2], strict=False):
            if second in allowed.get(first, ()):
                countries.add(first)
            elif first in allowed.get(second, ()):
                countries.add(second)
        return len(names) == 2 * count and len(countries) == count

    return check


def countries_listed(count: int, continent: str) -> Check:
    """Exactly so many different countries are named, all on this continent."""

    def check(text: str) -> bool:
        countries = {name for name in _MENTION.findall(text) if name in _ALL}
        return len(countries) == count and countries <= set(_BY_CONTINENT[continent])

    return check
