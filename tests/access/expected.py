# ruff: noqa: E501  a table's line is as long as it has to be
"""What the access matrix expects; ``matrix`` says how to read a cell.

The columns are anonymous, reader, owner, other, limited and admin.
"""

from __future__ import annotations

from collections.abc import Mapping

from .matrix import table

Table = Mapping[str, Mapping[str, str]]

OPERATIONS_EXPECTED: Table = table("""
GET index           200  200   200   200   200   200
HEAD index          200  200   200   200   200   200
OPTIONS index       204  204   204   204   204   204
GET index/          200  200   200   200   200   200
HEAD index/         200  200   200   200   200   200
OPTIONS index/      204  204   204   204   204   204
GET list            200  200   200   200   200   200
HEAD list           200  200   200   200   200   200
OPTIONS list        204  204   204   204   204   204
GET item            404  404   200   404   200   200
HEAD item           404  404   200   404   200   200
OPTIONS item        204  204   204   204   204   204
GET nothing         404  404   404   404   404   404
GET job             404  404   404   404   404   404
HEAD job            404  404   404   404   404   404
OPTIONS job         204  204   204   204   204   204
POST one            401  201+  201+  201+  201+  201+
POST for another    401  400   400   400   400   400
POST many           401  201+  201+  201+  201+  201+
POST many, one bad  401  409   201+  409   201+  201+
POST import         401  201+  201+  201+  201+  201+
POST import for another  401  422   422   422   422   422
POST import, bad    401  422   201+  422   201+  201+
POST merge          401  403   200+  403   200+  200+
POST merge hidden   401  409   200+  409   200+  200+
POST ignore         401  200   200   200   200   200
PATCH list          200  200   200+  200   200+  200+
PATCH list, mixed   401  403   403   200+  403   200+
DELETE list         204  204   204+  204   204+  204+
DELETE list, mixed  204  204   204+  204+  204+  204+
PUT item            409  409   200+  409   200+  200+
PUT shared item     409  409   200+  409   200+  200+
PATCH item          404  404   200+  404   200+  200+
PATCH shared item   401  403   200+  403   200+  200+
PATCH item's owner  409  409   409   404   409   200+
PATCH item's memo   400  404   200+  404   400   200+
DELETE item         404  404   204+  404   204+  204+
DELETE shared item  401  403   403   204+  403   204+
own GET             200  200   200   200   200   200
own HEAD            200  200   200   200   200   200
own POST            401  201+  201+  201+  201+  201+
own PATCH           404  404   200+  404   200+  200+
own PATCH shared    401  403   403   200+  403   200+
own DELETE          404  404   200+  404   200+  200+
""")
"""On Olga's rows, which ``owner`` and ``limited`` have for their own; 13 and 14 are ``other``'s."""

ROWS_EXPECTED: Table = table("""
filter:eq               200=          200=          200!              200=          200!              200!
filter:neq              200=          200=          200!              200=          200!              200!
filter:gt               200=          200=          200!              200=          200!              200!
filter:gte              200=          200=          200!              200=          200!              200!
filter:lt               200=          200=          200!              200=          200!              200!
filter:lte              200=          200=          200!              200=          200!              200!
filter:like             200=          200=          200!              200=          200!              200!
filter:ilike            200=          200=          200!              200=          200!              200!
filter:in               200=          200=          200!              200=          200!              200!
filter:is               200=          200=          200!              200=          200!              200!
filter:isdistinct       200=          200=          200!              200=          200!              200!
filter:cs               200=          200=          200!              200=          200!              200!
filter:cd               200=          200=          200!              200=          200!              200!
filter:ov               200=          200=          200!              200=          200!              200!
filter:fts              200=          200=          200!              200=          200!              200!
filter:plfts            200=          200=          200!              200=          200!              200!
filter:phfts            200=          200=          200!              200=          200!              200!
filter:wfts             200=          200=          200!              200=          200!              200!
quantified:eq           200=          200=          200!              200=          200!              200!
quantified:gt           200=          200=          200!              200=          200!              200!
quantified:gte          200=          200=          200!              200=          200!              200!
quantified:ilike        200=          200=          200!              200=          200!              200!
quantified:like         200=          200=          200!              200=          200!              200!
quantified:lt           200=          200=          200!              200=          200!              200!
quantified:lte          200=          200=          200!              200=          200!              200!
aggregate:count         200=          200=          200!              200=          200!              200!
aggregate:sum           200=          200=          200!              200=          200!              200!
aggregate:avg           200=          200=          200!              200=          200!              200!
aggregate:min           200=          200=          200!              200=          200!              200!
aggregate:max           200=          200=          200!              200=          200!              200!
parameter:order         200=          200=          200!              200=          200!              200!
parameter:limit         200=          200=          200!              200=          200!              200=
parameter:offset        200=          200=          200!              200=          200!              200!
parameter:page          200=          200=          200!              200=          200!              200!
parameter:per_page      200=          200=          200!              200=          200!              200!
parameter:after         200=          200=          200!              200=          200!              200!
parameter:q             200=          200=          200!              200=          200!              200!
parameter:select        200,404=      200,404=      200!              200,404=      200!              200!
parameter:on_conflict   400,401=      400=          400=              400=          400=              400=
parameter:and           200=          200=          200!              200=          200!              200!
parameter:or            200=          200=          200!              200=          200!              200!
select:SelectAll        200=          200=          200!              200=          200!              200!
select:SelectField      200,400=      200,400=      200,400!          200,400=      200,400!          200,400!
select:SelectEmbed      200=          200=          200!              200=          200!              200!
embed:alias             200=          200=          200!              200=          200!              200!
embed:hint              200=          200=          200!              200=          200!              200!
embed:inner             200=          200=          200!              200=          200!              200!
embed:spread            200=          200=          200!              200=          200!              200!
embed:depth             200=          200=          200!              200=          200!              200!
embed:null              200=          200=          200!              200=          200!              200!
prefer:count            200=          200=          200!              200=          200!              200!
prefer:return_          401=          201=          201=              201=          201=              201=
prefer:resolution       401=          403=          403=              403=          403=              201=
prefer:missing          401=          201=          201=              201=          201=              201=
prefer:max_affected     400,401=      400,403=      400=              200,400=      400=              400=
prefer:tx               401=          400=          400=              400=          400=              400=
prefer:respond_async    400=          400=          400=              400=          400=              400=
prefer:handling         400=          400=          400=              400=          400=              400=
header:If-None-Match    200,304,404=  200,304,404=  200,304!          200,304,404=  200,304!          200,304!
header:If-Match         412=          412=          200,204,412!      412=          200,204,412!      200,204,412!
header:Idempotency-Key  401,404=      201,404=      200,201!          201,404=      200,201!          200,201!
export                  200=          200=          200!              200=          200!              200!
header:Accept           404,406=      404,406=      200,406!          404,406=      200,406!          200,406!
header:Prefer           200=          200=          200!              200=          200!              200!
header:Content-Type     415=          415=          415=              415=          415=              415=
index                   200=          200=          200=              200=          200=              200=
not found               404=          404=          200,404!          404=          200,404!          200,404!
not allowed             400,401=      400,403=      400,403=          400,403=      400,403=          200,201,404!
links                   200,404=      200,404=      200!              200,404=      200!              200!
other tables            200=          200=          200!              200=          200!              200!
hints                   400,401=      400=          400=              400=          400=              200,400!
required                401=          400=          400=              400=          400=              400=
validation              400,401=      400=          400=              400=          400=              400=
foreign key             401,409=      400,409=      201,404!          400,409=      201,404!          200,201!
nested                  400,401=      400,403=      403=              200,400=      403=              200,400=
bulk                    200,204,401=  200,204,403=  200,204,403!      200,204,403=  200,204,403!      200,204!
location                401,409=      201,409=      200,201=          201,409=      200,201=          200,201=
conflict                401,404=      403,404,409!  200,403,404,409!  403,409!      200,403,404,409!  200,409!
conflict of fields      401=          403,409=      403,409=          403,409=      400=              201,409=
""")
"""Where the worlds differ in rows that are Olga's alone."""

FIELDS_EXPECTED: Table = table("""
filter:eq               400=              200!          200!              200!          400=              200!
filter:neq              400=              200!          200!              200!          400=              200!
filter:gt               400=              200!          200!              200!          400=              200!
filter:gte              400=              200!          200!              200!          400=              200!
filter:lt               400=              200!          200!              200!          400=              200!
filter:lte              400=              200!          200!              200!          400=              200!
filter:like             400=              200!          200!              200!          400=              200!
filter:ilike            400=              200!          200!              200!          400=              200!
filter:in               400=              200!          200!              200!          400=              200!
filter:is               400=              200!          200!              200!          400=              200!
filter:isdistinct       400=              200!          200!              200!          400=              200!
filter:cs               400=              200!          200!              200!          400=              200!
filter:cd               400=              200!          200!              200!          400=              200!
filter:ov               400=              200!          200!              200!          400=              200!
filter:fts              400=              200!          200!              200!          400=              200!
filter:plfts            400=              200!          200!              200!          400=              200!
filter:phfts            400=              200!          200!              200!          400=              200!
filter:wfts             400=              200!          200!              200!          400=              200!
quantified:eq           400=              200!          200!              200!          400=              200!
quantified:gt           400=              200!          200!              200!          400=              200!
quantified:gte          400=              200!          200!              200!          400=              200!
quantified:ilike        400=              200!          200!              200!          400=              200!
quantified:like         400=              200!          200!              200!          400=              200!
quantified:lt           400=              200!          200!              200!          400=              200!
quantified:lte          400=              200!          200!              200!          400=              200!
aggregate:count         200,400=          200!          200!              200!          200,400=          200!
aggregate:sum           400=              200!          200!              200!          400=              200!
aggregate:avg           400=              200!          200!              200!          400=              200!
aggregate:min           400=              200!          200!              200!          400=              200!
aggregate:max           400=              200!          200!              200!          400=              200!
parameter:order         400=              200!          200!              200!          400=              200!
parameter:limit         200=              200!          200=              200=          200=              200=
parameter:offset        200=              200!          200!              200!          200=              200!
parameter:page          200=              200!          200!              200!          200=              200!
parameter:per_page      200=              200!          200!              200!          200=              200!
parameter:after         200=              200!          200!              200!          200=              200!
parameter:q             200=              200!          200!              200!          200=              200!
parameter:select        200,400,404=      200,404!      200!              200,404!      200,400=          200!
parameter:on_conflict   400,401=          400=          400=              400=          400=              400=
parameter:and           400=              200!          200!              200!          400=              200!
parameter:or            400=              200=          200=              200=          400=              200=
select:SelectAll        200=              200!          200!              200!          200=              200!
select:SelectField      400=              200,400!      200,400!          200,400!      400=              200,400!
select:SelectEmbed      200,400=          200=          200=              200=          200,400=          200=
embed:alias             400=              200=          200!              200=          400=              200!
embed:hint              400=              200=          200=              200=          400=              200=
embed:inner             200,400=          200=          200=              200=          200,400=          200=
embed:spread            400=              200=          200!              200=          400=              200!
embed:depth             200,400=          200!          200!              200!          200,400=          200!
embed:null              200=              200=          200=              200=          200=              200=
prefer:count            200=              200!          200!              200!          200=              200!
prefer:return_          401=              201=          201=              201=          201=              201=
prefer:resolution       401=              403=          403=              403=          403=              201=
prefer:missing          401=              201=          201=              201=          201=              201=
prefer:max_affected     400,401=          400,403=      400=              200,400=      400=              400=
prefer:tx               401=              400=          400=              400=          400=              400=
prefer:respond_async    400=              400=          400=              400=          400=              400=
prefer:handling         400=              400=          400=              400=          400=              400=
header:If-None-Match    200,304,404=      200,304,404!  200,304!          200,304,404!  200,304=          200,304!
header:If-Match         412=              412=          200,204,412=      412=          200,204,412=      200,204,412=
header:Idempotency-Key  401,404=          201,404=      200,201=          201,404=      200,201=          200,201=
export                  200,400=          200!              200!              200!              200,400=          200!
header:Accept           404,406=          404,406=      200,406=          404,406=      200,406=          200,406=
header:Prefer           200=              200!          200!              200!          200=              200!
header:Content-Type     415=              415=          415=              415=          415=              415=
index                   200=              200=          200=              200=          200=              200=
not found               404=              404=          200,404=          404=          200,404=          200,404=
not allowed             400,401=          400,403=      400,403=          400,403=      400,403=          200,201,404=
links                   200,404=          200,404=      200=              200,404=      200=              200=
other tables            200=              200=          200=              200=          200=              200=
hints                   400,401=          400=          400=              400=          400=              200,400=
required                401=              400=          400=              400=          400=              400=
validation              400,401=          400=          400=              400=          400=              400=
foreign key             401,409=          400,409=      201,404=          400,409=      201,404=          200,201=
nested                  400,401=          400,403=      403=              200,400=      403=              200,400=
bulk                    200,204,400,401=  200,204,403=  200,204,403!      200,204,403=  200,204,400,403=  200,204!
location                401,409=          201,409=      200,201=          201,409=      200,201=          200,201=
conflict                401,404=          403,404,409=  200,403,404,409=  403,409=      200,403,404,409=  200,409=
conflict of fields      401=              403,409!      403,409!          403,409!      400=              201,409!
""")
"""Where the worlds differ in fields that neither anonymous nor ``limited`` may read."""
