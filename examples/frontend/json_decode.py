"""JSON that is always valid: by a pydantic model, and by a regular expression with fixed text.

The text that the constraint leaves no choice about is not sampled, so it costs next to nothing.
"""

from enum import Enum

from pydantic import BaseModel

import sglang as sgl


class Continent(str, Enum):
    africa = "Africa"
    america = "America"
    asia = "Asia"
    europe = "Europe"
    oceania = "Oceania"


class Country(BaseModel):
    name: str
    capital: str
    continent: Continent


@sgl.function
def country_as_json(s, country):
    s += sgl.user(f"Describe {country} as JSON.")
    s += sgl.assistant(sgl.gen("json", json_schema=Country, max_tokens=64))


CITY = r'\{"city": "[\w ]{1,20}", "population": [0-9]{1,9}, "is_capital": (true|false)\}'


@sgl.function
def city_as_json(s, city):
    s += f"{city} as JSON: " + sgl.gen("json", regex=CITY, max_tokens=64)


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))

    state = country_as_json.run("France", temperature=0)
    print(Country.model_validate_json(state["json"]))
    print(city_as_json.run("Paris", temperature=0)["json"])
