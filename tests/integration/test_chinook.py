"""Chinook, served with no code: from SQLite as it comes, and copied to servers.

The file is ``../shared/data/chinook/chinook.sqlite`` beside the repository where that is there,
read-only in a read-only folder. So that the tests need no download, all of them also run on a
small database of the same shape made here; what is asserted holds for both, and figures are
worked out from the file by plain SQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from tests.conftest import empty_database, served_client

SHARED = Path(__file__).parents[3] / "shared" / "data" / "chinook" / "chinook.sqlite"
SHAPE = """
CREATE TABLE [Artist] ([ArtistId] INTEGER NOT NULL, [Name] NVARCHAR(120),
    CONSTRAINT [PK_Artist] PRIMARY KEY ([ArtistId]));
CREATE TABLE [Album] ([AlbumId] INTEGER NOT NULL, [Title] NVARCHAR(160) NOT NULL,
    [ArtistId] INTEGER NOT NULL, CONSTRAINT [PK_Album] PRIMARY KEY ([AlbumId]),
    FOREIGN KEY ([ArtistId]) REFERENCES [Artist] ([ArtistId]));
CREATE TABLE [Genre] ([GenreId] INTEGER NOT NULL, [Name] NVARCHAR(120),
    CONSTRAINT [PK_Genre] PRIMARY KEY ([GenreId]));
CREATE TABLE [Track] ([TrackId] INTEGER NOT NULL, [Name] NVARCHAR(200) NOT NULL,
    [AlbumId] INTEGER, [GenreId] INTEGER, [UnitPrice] NUMERIC(10,2) NOT NULL,
    CONSTRAINT [PK_Track] PRIMARY KEY ([TrackId]),
    FOREIGN KEY ([AlbumId]) REFERENCES [Album] ([AlbumId]),
    FOREIGN KEY ([GenreId]) REFERENCES [Genre] ([GenreId]));
CREATE TABLE [Employee] ([EmployeeId] INTEGER NOT NULL, [LastName] NVARCHAR(20) NOT NULL,
    [ReportsTo] INTEGER, [HireDate] DATETIME, CONSTRAINT [PK_Employee] PRIMARY KEY ([EmployeeId]),
    FOREIGN KEY ([ReportsTo]) REFERENCES [Employee] ([EmployeeId]));
CREATE TABLE [Customer] ([CustomerId] INTEGER NOT NULL, [LastName] NVARCHAR(20) NOT NULL,
    [SupportRepId] INTEGER, CONSTRAINT [PK_Customer] PRIMARY KEY ([CustomerId]),
    FOREIGN KEY ([SupportRepId]) REFERENCES [Employee] ([EmployeeId]));
CREATE TABLE [Invoice] ([InvoiceId] INTEGER NOT NULL, [CustomerId] INTEGER NOT NULL,
    [InvoiceDate] DATETIME NOT NULL, [BillingCountry] NVARCHAR(40), [Total] NUMERIC(10,2) NOT NULL,
    CONSTRAINT [PK_Invoice] PRIMARY KEY ([InvoiceId]),
    FOREIGN KEY ([CustomerId]) REFERENCES [Customer] ([CustomerId]));
CREATE TABLE [Playlist] ([PlaylistId] INTEGER NOT NULL, [Name] NVARCHAR(120),
    CONSTRAINT [PK_Playlist] PRIMARY KEY ([PlaylistId]));
CREATE TABLE [PlaylistTrack] ([PlaylistId] INTEGER NOT NULL, [TrackId] INTEGER NOT NULL,
    CONSTRAINT [PK_PlaylistTrack] PRIMARY KEY ([PlaylistId], [TrackId]),
    FOREIGN KEY ([PlaylistId]) REFERENCES [Playlist] ([PlaylistId]),
    FOREIGN KEY ([TrackId]) REFERENCES [Track] ([TrackId]));
INSERT INTO Artist VALUES (1, 'Öl & Wasser'), (2, 'Nobody');
INSERT INTO Album VALUES (1, 'First', 1), (2, 'Second', 1), (3, 'Silence', 2);
INSERT INTO Genre VALUES (1, 'Rock'), (2, 'Jazz');
INSERT INTO Track VALUES (1, 'One', 1, 1, 0.99), (2, 'Two', 1, 2, 1.99), (3, 'Three', 2, NULL, 1),
    (4, 'Loose', NULL, 1, 0.99);
INSERT INTO Employee VALUES (1, 'Boss', NULL, '2002-08-14 00:00:00'), (2, 'Lead', 1, NULL),
    (3, 'Rep', 2, '2003-05-03 00:00:00');
INSERT INTO Customer VALUES (1, 'Able', 3), (2, 'Baker', 2), (3, 'Charlie', NULL);
INSERT INTO Invoice VALUES (1, 1, '2012-12-31 23:59:59', 'Norway', 0.1),
    (2, 1, '2013-01-01 00:00:00', 'Norway', 0.2), (3, 2, '2013-01-02 00:00:00', 'Chile', 0.3),
    (4, 3, '2013-06-01 00:00:00', 'India', 9.99);
INSERT INTO Playlist VALUES (1, 'All'), (2, 'Empty');
INSERT INTO PlaylistTrack VALUES (1, 1), (1, 3), (1, 4);
"""

QUERIES = {
    "an album with its artist, and its tracks with their genres": (
        "Album?select=Title,Artist(Name),Track(Name,UnitPrice,Genre(Name))"
    ),
    "customers with their support representative, and that one's manager": (
        "Customer?select=LastName,SupportRep(LastName,HireDate,ReportsTo(LastName))"
    ),
    "playlists with their tracks": "Playlist?select=Name,Track(Name)&Track.order=TrackId&limit=3",
    "invoices by country, largest first": (
        "Invoice?select=BillingCountry,total:Total.sum(),mean:Total.avg()"
        "&order=total.desc,BillingCountry"
    ),
    "invoices since a day": "Invoice?InvoiceDate=gte.2013-01-01T00:00:00Z&limit=1000",
    "those who report to somebody": "Employee?select=LastName,Employee(LastName)&order=LastName",
    "everything of one row": "Invoice?InvoiceId=eq.2",
    "links": "PlaylistTrack?order=PlaylistId.desc,TrackId&limit=5",
}


def _files() -> list[Any]:
    own = pytest.param(None, id="own")
    return [own, pytest.param(SHARED, id="chinook")] if SHARED.exists() else [own]


@pytest.fixture(scope="module", params=_files())
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chinook itself, or the small one in a folder that can't be written either."""
    if request.param is not None:
        shared: Path = request.param
        return shared
    folder = tmp_path_factory.mktemp("chinook")
    path = folder / "chinook.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SHAPE)
    connection.close()
    path.chmod(0o444)
    folder.chmod(0o555)
    return path


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def copy_url(request: pytest.FixtureRequest, file: Path) -> Iterator[str]:
    """The same tables and rows in a database of a server."""
    with empty_database(request, request.param, file) as url:
        _copy(f"sqlite:///file:{file}?mode=ro&uri=true", url)
        yield url


def _copy(source_url: str, target_url: str) -> None:
    source, target = sa.create_engine(source_url), sa.create_engine(target_url)
    tables = sa.MetaData()
    tables.reflect(source)
    for table in tables.tables.values():
        for column in table.columns:
            column.type = column.type.as_generic()
    tables.create_all(target)
    with source.connect() as old, target.begin() as new:
        for table in tables.sorted_tables:
            rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
            # A row may refer to one of its own table that comes later.
            if table.name == "Employee":
                rows.sort(key=lambda row: (row["ReportsTo"] is not None, row["ReportsTo"] or 0))
            new.execute(sa.insert(table), rows)
    source.dispose()
    target.dispose()


@pytest.fixture
def client(file: Path) -> Iterator[FlaskClient]:
    """The API of the SQLite file."""
    with served_client(str(file)) as client:
        yield client


@pytest.fixture
def copy_client(copy_url: str) -> Iterator[FlaskClient]:
    """The API of the copy."""
    with served_client(copy_url) as client:
        yield client


def _rows(client: FlaskClient, query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/api/{query}")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.get_json()["data"]
    return rows


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_copy_answers_the_same(
    client: FlaskClient, copy_client: FlaskClient, query: str
) -> None:
    """SQLite and PostgreSQL give the same rows in the same order, written the same."""
    rows = _rows(client, query)
    assert rows
    assert rows == _rows(copy_client, query)


def test_an_album_has_its_artist_and_tracks_with_genres(client: FlaskClient, file: Path) -> None:
    """Two levels of relations hold what joins say."""
    (album,) = _rows(client, "Album?AlbumId=eq.1&select=Artist(Name),Track(Name,Genre(Name))")
    expected = _sql(
        file,
        "SELECT a.Name, t.Name, g.Name FROM Album JOIN Artist a USING (ArtistId) "
        "JOIN Track t USING (AlbumId) LEFT JOIN Genre g USING (GenreId) "
        "WHERE AlbumId = 1 ORDER BY TrackId",
    )
    assert [
        (album["Artist"]["Name"], t["Name"], t["Genre"]["Name"]) for t in album["Track"]
    ] == expected


def test_customers_have_a_representative_and_its_manager(client: FlaskClient, file: Path) -> None:
    """A foreign key's column names the relation, through a self-reference too."""
    found = [
        (
            row["LastName"],
            (row["SupportRep"] or {}).get("LastName"),
            ((row["SupportRep"] or {}).get("ReportsTo") or {}).get("LastName"),
        )
        for row in _rows(
            client,
            "Customer?select=LastName,SupportRep(LastName,ReportsTo(LastName))"
            "&order=CustomerId&limit=1000",
        )
    ]
    assert found == _sql(
        file,
        "SELECT c.LastName, e.LastName, m.LastName FROM Customer c "
        "LEFT JOIN Employee e ON e.EmployeeId = c.SupportRepId "
        "LEFT JOIN Employee m ON m.EmployeeId = e.ReportsTo ORDER BY c.CustomerId",
    )


def test_playlists_have_their_tracks(client: FlaskClient, file: Path) -> None:
    """The link table is passed over, in both directions."""
    playlists = _rows(client, "Playlist?select=PlaylistId,Track(TrackId)&limit=1000")
    found = {(p["PlaylistId"], t["TrackId"]) for p in playlists for t in p["Track"]}
    assert found == set(_sql(file, "SELECT PlaylistId, TrackId FROM PlaylistTrack"))
    back = _rows(client, "Track?TrackId=eq.3&select=Playlist(PlaylistId)")[0]["Playlist"]
    assert {p["PlaylistId"] for p in back} == {p for p, t in found if t == 3}


def test_invoices_by_country_are_exact(client: FlaskClient, file: Path) -> None:
    """Sums and means are decimals to the last digit, and order the countries, ties by name."""
    totals: dict[str, list[Decimal]] = {}
    for country, total in _sql(file, "SELECT BillingCountry, CAST(Total AS TEXT) FROM Invoice"):
        totals.setdefault(country, []).append(Decimal(total))
    expected = [
        (
            country,
            f"{sum(values, Decimal()):.2f}",
            str(
                (sum(values, Decimal()) / len(values)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
            ),
        )
        for country, values in sorted(totals.items(), key=lambda item: (-sum(item[1]), item[0]))
    ]
    query = QUERIES["invoices by country, largest first"] + "&limit=1000"
    found = [(r["BillingCountry"], r["total"], r["mean"]) for r in _rows(client, query)]
    assert found == expected


def test_moments_are_compared_and_paged_rightly(client: FlaskClient, file: Path) -> None:
    """A day bounds invoices to the second, and a cursor walks through equal moments."""
    query = "Invoice?InvoiceDate=gte.2013-01-01T00:00:00Z&order=InvoiceDate.desc&limit=50"
    found: list[int] = []
    page: dict[str, Any] = client.get(f"/api/{query}").get_json()
    found += [row["InvoiceId"] for row in page["data"]]
    while page["next"]:
        page = client.get(f"/api/{query}&after={page['next']}").get_json()
        found += [row["InvoiceId"] for row in page["data"]]
    expected = _sql(
        file,
        "SELECT InvoiceId FROM Invoice WHERE InvoiceDate >= '2013-01-01' "
        "ORDER BY InvoiceDate DESC, InvoiceId DESC",
    )
    assert [(number,) for number in found] == expected


def test_nothing_can_be_written(client: FlaskClient, copy_client: FlaskClient) -> None:
    """A POST is refused, and the database itself would refuse it."""
    answer = client.post("/api/Genre", json={"GenreId": 999, "Name": "x"})
    assert answer.status_code == 405
    for api in (client, copy_client):
        engine = api.application.extensions["carboy"].source
        with (
            engine.connect() as connection,
            pytest.raises(sa.exc.DBAPIError, match=r"(?i)read.?only"),
        ):
            connection.execute(sa.delete(sa.table("PlaylistTrack")))


def _sql(file: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
