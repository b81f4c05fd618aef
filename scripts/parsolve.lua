-- A module of parsolve for Lmod. Where it was installed:
local home = "/opt/parsolve"

help([[Partial differential equations on structured grids: python -m parsolve --help]])
whatis("Name: parsolve")
conflict("parsolve")
-- Load here the MPI that it was built with: depends_on("mpich")
prepend_path("PATH", pathJoin(home, "bin"))
setenv("VIRTUAL_ENV", home)
