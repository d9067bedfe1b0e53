\d
\d+
\dt *.*
\d pg_class
\d+ pg_catalog.pg_type
\d+ public.*
\da
\dA+
\dAc
\dAf
\dAo
\dAp
\db+
\dc
\dC+
\dd
\dD+
\ddp
\dE
\des+
\deu+
\det+
\dew+
\df *
\df+ public.*
\dF+
\dFd+
\dFp+
\dFt+
\dg+
\di+
\dl
\dL+
\dm+
\dn+
\do
\dO+
\dp
\dP+
\drds
\dRp+
\dRs+
\ds+
\dS
\dT+
\du
\dv+
\dx+
\dX
\dy+
\dconfig *
\l+
\sf pg_catalog.pg_relation_size(regclass)
\sv information_schema.tables
\z
\conninfo
\encoding
\errverbose
SELECT 1 \gdesc
SELECT 'SELECT ' || generate_series(1, 3) \gexec
SELECT 1 AS a, 'x' AS b \gset
SELECT :a, :'b', :"b" FROM (SELECT 1 AS x) q;
SELECT 1 AS row, 2 AS col, 3 AS value \crosstabview
SELECT 1/0;
SELECT 1 \; SELECT 2 \; SELECT 3;
