for n in 16 64; do mpirun -n 2 python -m parsolve bench heat3d --size $n --seconds 1 2>&1 | grep "speed"; done
mpirun -n 2 python -m parsolve bench gray-scott --seconds 2 2>&1 | grep -v MPICH
mpirun -n 2 python -m parsolve bench wave3d --seconds 2 --precision float32 2>&1 | grep -v MPICH
